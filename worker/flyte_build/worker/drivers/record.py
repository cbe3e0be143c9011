"""What is kept of a build beside its image, attached to it in the registry."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from flyte_build.builder.canonical import encode
from flyte_build.builder.context import Context
from flyte_build.builder.engine import (
    BuildEvent,
    BuildOptions,
    BuiltImage,
    Engine,
    StepEnded,
    StepOutput,
    silent,
    step,
)
from flyte_build.builder.installed import Installed, format_installed
from flyte_build.builder.plan import BuildPlan
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.errors import BuildFailed, FlyteBuildError
from flyte_build.registry.names import ImageReference, Target
from flyte_build.worker.drivers.lines import line_of
from flyte_build.worker.secrets.redaction import Redactor

if TYPE_CHECKING:
    from flyte_build.registry.artifacts import Artifact
    from flyte_build.worker.drivers.evidence import Evidence

_LOG_LIMIT = 4 * 1024 * 1024
_ATTACHING = "attaching what is kept of the build"


class Recording:
    """A sink for build events that passes them on and keeps their lines, both without what secrets hold."""

    def __init__(self, inner: Callable[[BuildEvent], None], redact: Redactor) -> None:
        self._inner = inner
        self._redact = redact
        self._lines: list[str] = []
        self._left = _LOG_LIMIT

    def __call__(self, event: BuildEvent) -> None:
        event = self._discreet(event)
        self._inner(event)
        line = line_of(event)
        if line is None or self._left <= 0:
            return
        self._left -= len(line) + 1
        self._lines.append(line if self._left > 0 else "… the log is longer than is kept")

    def _discreet(self, event: BuildEvent) -> BuildEvent:
        title = self._redact(event.title)
        if isinstance(event, StepOutput):
            return replace(event, title=title, line=self._redact(event.line))
        if isinstance(event, StepEnded):
            return replace(event, title=title, error=self._redact(event.error))
        return replace(event, title=title)

    @property
    def text(self) -> str:
        """The lines so far."""
        return "".join(f"{line}\n" for line in self._lines)


@dataclass(frozen=True, slots=True)
class Discreet:
    """Takes what secrets hold out of an engine's errors too: they are shown, logged and kept."""

    engine: Engine
    redact: Redactor

    def build(self, plan: BuildPlan, context: Context, target: Target, options: BuildOptions) -> BuiltImage:
        """As `Engine.build`."""
        try:
            return self.engine.build(plan, context, target, options)
        except BuildFailed as error:
            log = self.redact("\n".join(error.log)).split("\n") if error.log else ()
            step, sentence = self.redact(error.step), self.redact(error.sentence)
            # Without its cause: that would carry the text on.
            raise BuildFailed(sentence, step=step, log=tuple(log), hint=self.redact(error.hint)) from None


@dataclass(frozen=True, slots=True)
class Ready:
    """Loads what attaching needs while the engine works: that takes as long as an existence check altogether.

    Not before the engine's first word: until then there is work of our own, which it would slow down.
    """

    engine: Engine

    def build(self, plan: BuildPlan, context: Context, target: Target, options: BuildOptions) -> BuiltImage:
        """As `Engine.build`."""
        loading = threading.Thread(target=_load, name="load", daemon=True)

        def hear(event: BuildEvent) -> None:
            if loading.ident is None:
                loading.start()
            options.progress(event)

        return self.engine.build(plan, context, target, replace(options, progress=hear))


def _load() -> None:
    import flyte_build.registry.packing  # noqa: F401 - what it costs is paid here


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is attached. `about` are annotations of the plan's: facts that are no part of the image's identity.
    `plan` is None and the rest empty where that is not known."""

    plan: BuildPlan | None = None
    log: str = ""
    installed: tuple[Installed, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)


def attach_record(
    registry: RegistryClient,
    image: ImageReference,
    record: Record,
    evidence: Evidence,
    progress: Callable[[BuildEvent], None] = silent,
) -> str:
    """Attaches all of it to the image, and what is said of them to its manifests. What went wrong, as a sentence, else
    an empty text: the image is whole without."""
    from flyte_build.registry.artifacts import attach_all
    from flyte_build.registry.inventory import CREATED

    created = {CREATED: datetime.now(timezone.utc).isoformat(timespec="seconds")}
    try:
        with step(progress, _ATTACHING), tempfile.TemporaryDirectory(prefix="flyte-build-record-") as folder:
            for number, subject in enumerate(evidence.subjects):
                place = Path(folder, str(number))
                place.mkdir()
                own = _artifacts(record, place, created) if subject == image else []
                attach_all(registry, subject, [*own, *evidence.artifacts(subject, place, created)])
    except (FlyteBuildError, OSError) as error:
        return f"not everything that is kept of a build was attached to {image}: {error}"
    return ""


def _artifacts(record: Record, folder: Path, created: Mapping[str, str]) -> list[Artifact]:
    from flyte_build.registry.artifacts import INSTALLED_TYPE, LOG_TYPE, PLAN_TYPE, artifact_in

    made = []
    if record.plan is not None:
        made.append(artifact_in(folder, PLAN_TYPE, "plan.json", encode(record.plan), record.about))
    if record.log:
        made.append(artifact_in(folder, LOG_TYPE, "build.log", record.log.encode(), created))
    if record.installed:
        made.append(artifact_in(folder, INSTALLED_TYPE, "installed.json", format_installed(record.installed), {}))
    return made
