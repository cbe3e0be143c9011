"""What pages say of tasks and runs, as pairs of text: names, images, bundles, inputs and outputs. Pure."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from flyteidl2.task.common_pb2 import Inputs, Outputs
from flyteidl2.task.task_definition_pb2 import TaskSpec
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from flyte_build.worker.drivers.lines import is_noise

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flyteidl2.core.interface_pb2 import VariableMap
    from flyteidl2.core.literals_pb2 import Literal
    from flyteidl2.task.common_pb2 import NamedLiteral

    from flyte_build.builder.engine import StepEnded
    from flyte_build.worker.endpoint.tasks import Deployed
    from flyte_build.worker.runs.values import Action

Pairs = tuple[tuple[str, str], ...]
_BUNDLE_FLAGS = ("--tgz", "--pkl")
_LONGEST = 1000
_MOST = 100


def bundle_of(spec: TaskSpec) -> str:
    """The URL of a task's code bundle: what the SDK's entry point is given after `--tgz` or `--pkl`; or empty."""
    args = list(spec.task_template.container.args)
    return next((after for flag, after in pairwise(args) if flag in _BUNDLE_FLAGS), "")


def task_facts(spec: TaskSpec) -> Pairs:
    """A task: its name and version, its image, its bundle."""
    name = spec.task_template.id
    version = f"@{name.version}" if name.version else ""
    where = f"{name.project}/{name.domain}/" if name.project else ""
    return (
        ("task", f"{where}{name.name or spec.short_name}{version}"),
        ("image", spec.task_template.container.image),
        ("bundle", bundle_of(spec)),
    )


def name_of(action: Action, target: str) -> str:
    """What a run is for, in a few words: the image that is built (of its `target`), or the task."""
    if action.is_build:
        return f"image {target.rpartition(':')[0].rpartition('/')[2]}".rstrip()
    try:
        spec = TaskSpec.FromString(action.task)
    except DecodeError:
        return action.run
    return spec.task_template.id.name or spec.short_name or action.run


def run_facts(action: Action, inputs: bytes) -> Pairs:
    """A run: its task, what it was given (serialized `flyteidl2.task.Inputs`) and what came out."""
    try:
        facts = task_facts(TaskSpec.FromString(action.task))
        given = _literals("input", Inputs.FromString(inputs).literals)
        came = _literals("output", Outputs.FromString(action.outputs).literals)
    except DecodeError:
        return ()
    # The image of the build task is never started, and would be read as the one that was built.
    return (*(fact for fact in facts if not (action.is_build and fact[0] == "image")), *given, *came)


def _literals(what: str, literals: Iterable[NamedLiteral]) -> Pairs:
    return tuple((f"{what} {one.name}", _text(one.value)) for one in list(literals)[:_MOST])


def _text(literal: Literal) -> str:
    primitive = literal.scalar.primitive
    kind = primitive.WhichOneof("value")
    if kind == "string_value":
        text = primitive.string_value
    elif kind in ("integer", "float_value", "boolean"):
        text = str(getattr(primitive, kind))
    else:
        text = json_format.MessageToJson(literal, indent=None)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def table(title: str, pairs: Pairs) -> str:
    """HTML: a heading and a table; nothing when there is nothing to say."""
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in pairs if value)
    return f"<h2>{escape(title)}</h2><table>{cells}</table>" if cells else ""


def steps_table(steps: Iterable[StepEnded]) -> str:
    """HTML: the steps of a build, their time, and which were cached."""
    pairs = tuple((_how(step), step.title) for step in steps if not is_noise(step))
    return table("Steps", pairs)


def _how(step: StepEnded) -> str:
    return "failed" if step.error else "cached" if step.cached else f"{step.seconds:.1f} s"


def versions(found: tuple[Deployed, ...]) -> str:
    """HTML: the versions of a task, the newest first, with what they take and give."""
    return "".join(table(f"Version {one.version}", _version(one)) for one in found)


def _version(task: Deployed) -> Pairs:
    interface = task.spec.task_template.interface
    signature = (("inputs", _names(interface.inputs)), ("outputs", _names(interface.outputs)))
    return (*task_facts(task.spec)[1:], *signature)


def _names(variables: VariableMap) -> str:
    return ", ".join(entry.key for entry in list(variables.variables)[:_MOST])
