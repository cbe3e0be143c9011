"""The `build-image` task that this endpoint has without registration, and what it answers.

The SDK asks for `build-image` in project `system`, domain `production`, with three string inputs, sends the task back
by value and reads the first output. Nothing of what it sends back is used but the inputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from flyteidl2.core import identifier_pb2, interface_pb2, literals_pb2, tasks_pb2, types_pb2
from flyteidl2.task import common_pb2, task_definition_pb2

from flyte_build.registry.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT, DOMAIN, NAME, VERSION = "system", "production", "build-image", "1"
INPUTS = ("spec", "context", "target_image")
_OUTPUT = "o0"
_MAX_INPUT = 2000


class Named(Protocol):
    """What names a task; messages of Flyte do in two ways."""

    @property
    def project(self) -> str: ...
    @property
    def domain(self) -> str: ...
    @property
    def name(self) -> str: ...


def is_build_task(project: str, domain: str, name: str) -> bool:
    """Whether this is the name of the built-in task."""
    return (project, domain, name) == (PROJECT, DOMAIN, NAME)


def build_task_id(org: str) -> task_definition_pb2.TaskIdentifier:
    """The task's identifier, in the organization that the client believes in."""
    return task_definition_pb2.TaskIdentifier(org=org, project=PROJECT, domain=DOMAIN, name=NAME, version=VERSION)


def build_task_spec(org: str) -> task_definition_pb2.TaskSpec:
    """The task's specification. The container in it is never started: a builder answers instead."""
    return task_definition_pb2.TaskSpec(
        short_name=NAME,
        task_template=tasks_pb2.TaskTemplate(
            id=identifier_pb2.Identifier(
                resource_type=identifier_pb2.TASK, org=org, project=PROJECT, domain=DOMAIN, name=NAME, version=VERSION
            ),
            type="container",
            metadata=tasks_pb2.TaskMetadata(runtime=tasks_pb2.RuntimeMetadata(flavor="flyte-build")),
            interface=interface_pb2.TypedInterface(inputs=_strings(INPUTS), outputs=_strings((_OUTPUT,))),
            container=tasks_pb2.Container(image="flyte-build/builder"),
        ),
    )


def _strings(names: tuple[str, ...]) -> interface_pb2.VariableMap:
    kind = types_pb2.LiteralType(simple=types_pb2.STRING)
    return interface_pb2.VariableMap(
        variables=[interface_pb2.VariableEntry(key=name, value=interface_pb2.Variable(type=kind)) for name in names]
    )


def build_inputs(inputs: common_pb2.Inputs) -> Mapping[str, str]:
    """The three inputs of a build by name; InvalidInput when one is missing, of another type or absurdly long."""
    given = {literal.name: literal.value.scalar.primitive.string_value for literal in inputs.literals}
    missing = [name for name in INPUTS if not given.get(name) and name != "context"]
    if missing or any(len(given.get(name, "")) > _MAX_INPUT for name in INPUTS):
        raise InvalidInput(
            f"a build needs the text inputs {', '.join(INPUTS)}, and {', '.join(missing) or 'one'} is not usable",
            hint="build with the flyte SDK, image_builder='remote'",
        )
    return {name: given.get(name, "") for name in INPUTS}


def string_inputs(**values: str) -> common_pb2.Inputs:
    """Inputs of the string type, as a caller of the task gives them."""
    return common_pb2.Inputs(literals=[_literal(name, value) for name, value in values.items()])


def image_outputs(reference: str) -> bytes:
    """A serialized `flyteidl2.task.Outputs` with the image's reference, which the SDK uses verbatim."""
    return bytes(common_pb2.Outputs(literals=[_literal(_OUTPUT, reference)]).SerializeToString())


def _literal(name: str, value: str) -> common_pb2.NamedLiteral:
    text = literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(string_value=value)))
    return common_pb2.NamedLiteral(name=name, value=text)
