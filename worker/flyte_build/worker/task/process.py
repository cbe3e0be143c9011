"""The process of the registered task: inputs by Flyte's contract -> an image -> outputs by Flyte's contract.

A build that fails is told as Flyte's SDK tells it: `error.pb` beside where the outputs would be, and exit code 0.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from flyteidl2.core.execution_pb2 import ContainerError, ErrorDocument, ExecutionError
from flyteidl2.task.common_pb2 import Inputs
from google.protobuf.message import DecodeError

from flyte_build.registry.errors import BuildFailed, FlyteBuildError, InvalidInput
from flyte_build.worker.builds.task import build_inputs, image_outputs
from flyte_build.worker.task.asking import Asked
from flyte_build.worker.task.places import Places

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MAX_INPUTS = 1 << 20
_MAX_SPEC = 4 << 20


class Building(Protocol):
    """Whoever makes the image."""

    def build(self, asked: Asked) -> str:
        """The pinned reference."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One execution; `inputs` and `outputs_path` are URLs or paths that Flyte gave.

    `building` is made within it, because what is wrong with its settings is also told where Flyte looks.
    """

    inputs: str
    outputs_path: str
    building: Callable[[], Building]
    places: Places = field(default_factory=Places)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def run(self) -> str:
        """The reference, after `outputs.pb` is written. After `error.pb` is written raises what went wrong."""
        base = self.outputs_path.rstrip("/")
        try:
            with tempfile.TemporaryDirectory(prefix="flyte-build-task-") as folder:
                reference = self.building().build(self._asked(Path(folder)))
        except FlyteBuildError as error:
            self.places.write(f"{base}/error.pb", error_document(error))
            raise
        self.places.write(f"{base}/outputs.pb", image_outputs(reference))
        return reference

    def _asked(self, folder: Path) -> Asked:
        try:
            given = build_inputs(Inputs.FromString(self.places.read(self.inputs, folder, _MAX_INPUTS)))
        except DecodeError as error:
            raise InvalidInput("the inputs of this task cannot be read", hint="call it by Flyte's SDK") from error
        spec, context = folder / "spec.pb", folder / "context.tar.gz" if given["context"] else None
        self.places.fetch(given["spec"], spec, _MAX_SPEC)
        if context is not None:
            self.places.fetch(given["context"], context)
        found = self.environment
        project = found.get("FLYTE_INTERNAL_EXECUTION_PROJECT", "")
        domain = found.get("FLYTE_INTERNAL_EXECUTION_DOMAIN", "")
        if not project or not domain:
            raise InvalidInput(
                "this container does not know whose run it is: FLYTE_INTERNAL_EXECUTION_PROJECT or …_DOMAIN is not set",
                hint="this command is started by Flyte, as the task that flyte-build register makes",
            )
        names = (project, domain, found.get("RUN_NAME", ""), found.get("ACTION_NAME", ""))
        return Asked(
            project=project,
            domain=domain,
            target=given["target_image"],
            # Only a run's name makes it one request; without, each attempt is its own.
            request_id=f"build-image/{'/'.join(names)}" if names[2] else "",
            spec=spec,
            context=context,
        )


def error_document(error: FlyteBuildError) -> bytes:
    """A serialized `flyteidl2.core.ErrorDocument`, with what a user reads."""
    text = f"{error.sentence}; {error.hint}" if error.hint else error.sentence
    if isinstance(error, BuildFailed) and error.log:
        text += "\n" + "\n".join(error.log)
    kinds = ContainerError.RECOVERABLE if error.transient else ContainerError.NON_RECOVERABLE
    origin = ExecutionError.SYSTEM if error.transient else ExecutionError.USER
    code = "ImageBuildFailed" if isinstance(error, BuildFailed) else type(error).__name__
    document = ErrorDocument(error=ContainerError(code=code, message=text, kind=kinds, origin=origin))
    return bytes(document.SerializeToString())
