"""The task's process builds by itself, with the BuildKit that `BUILDKIT_HOST` names: no service, queue or database."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flyte_build.builder.buildx.remote import remote_builder
from flyte_build.builder.provenance import BUILDER_SERVICE
from flyte_build.registry.errors import InvalidInput
from flyte_build.worker import settings as configured
from flyte_build.worker.builds.request import BuildRequest
from flyte_build.worker.cli.trusting import TrustFlags
from flyte_build.worker.drivers.lines import line_of
from flyte_build.worker.drivers.service import ServiceBuilding
from flyte_build.worker.secrets.gather import MissingSecret
from flyte_build.worker.secrets.projects import ProjectSecrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flyte_build.builder.engine import BuildEvent
    from flyte_build.worker.task.asking import Asked


class Here:
    """As `Building`; `say` gets the lines of the log.

    Reads `BUILDKIT_HOST`, `BUILDKIT_CERTIFICATES` (a folder, see `remote_builder`), `FLYTE_BUILD_REGISTRY`, and what
    the settings say of bills of materials, provenance and signatures.
    """

    def __init__(self, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
        self._environment = environment
        self._address = environment["BUILDKIT_HOST"]
        certificates = environment.get("BUILDKIT_CERTIFICATES", "")
        self._certificates = Path(certificates) if certificates else None
        self._registry = environment.get("FLYTE_BUILD_REGISTRY", "")
        self._say = say

    def build(self, asked: Asked) -> str:
        """The pinned reference."""
        if not self._registry:
            raise InvalidInput("this task has no registry to push to", hint="register it again with --registry")
        request = BuildRequest(
            spec=asked.spec.read_bytes(),
            context=asked.context,
            target=asked.target,
            project=asked.project,
            domain=asked.domain,
            force=False,
        )
        builder = remote_builder(self._address, self._certificates)
        trust = TrustFlags().trust(configured.load(Path.cwd(), self._environment), BUILDER_SERVICE)
        # There is no database that knows what was pushed: what the registry says is all there is.
        building = ServiceBuilding(
            registry=self._registry, builder=builder, secrets=MountedSecrets(), trust=trust, trust_registry=True
        )
        outcome = building(request, _Lines(self._say), threading.Event())
        for job in outcome.afterwards:
            for note in filter(None, job()):
                self._say(note)
        return outcome.reference


@dataclass(frozen=True, slots=True, kw_only=True)
class MountedSecrets(ProjectSecrets):
    """What Flyte mounts into the container of a task: `<group>/<key>` below one folder, whoever's run it is."""

    folder: Path = Path("/etc/flyte/secrets")

    def files(self, project: str, names: frozenset[str]) -> Mapping[str, Path]:
        """As `ProjectSecrets.files`; InvalidInput with those that are not mounted."""
        del project
        try:
            return ProjectSecrets(root=self.folder.parent).files(self.folder.name, names) if names else {}
        except MissingSecret as error:
            listed = ", ".join(map(repr, sorted(names)))[:300]
            raise InvalidInput(
                f"not every secret that the image needs ({listed}) is mounted below {self.folder}",
                hint="create it in Flyte, for the project of this run",
            ) from error


class _Lines:
    """A log as lines of text."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def __call__(self, text: str) -> None:
        self._say(text)

    def step(self, event: BuildEvent) -> None:
        line = line_of(event)
        if line is not None:
            self._say(line)
