"""What is kept of a build beside its image: the plan and the log, attached to it in the registry."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from pathlib import Path

from flyte_build.builder.canonical import encode
from flyte_build.builder.engine import BuildEvent
from flyte_build.builder.plan import BuildPlan
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.errors import FlyteBuildError
from flyte_build.registry.names import ImageReference
from flyte_build.worker.drivers.lines import line_of

_LOG_LIMIT = 4 * 1024 * 1024
_SECRET_LIMIT = 64 * 1024
# A shorter value is too likely to be an ordinary word of the log.
_LEAST_SECRET = 6
_HIDDEN = "***"


class Recording:
    """A sink for build events that passes them on, and keeps their lines without what secrets hold."""

    def __init__(self, inner: Callable[[BuildEvent], None], secrets: Iterable[Path]) -> None:
        self._inner = inner
        self._secrets = sorted({value for file in secrets for value in _values(file)}, key=len, reverse=True)
        self._lines: list[str] = []
        self._left = _LOG_LIMIT

    def __call__(self, event: BuildEvent) -> None:
        self._inner(event)
        line = line_of(event)
        if line is None or self._left <= 0:
            return
        for value in self._secrets:
            line = line.replace(value, _HIDDEN)
        self._left -= len(line) + 1
        self._lines.append(line if self._left > 0 else "… the log is longer than is kept")

    @property
    def text(self) -> str:
        """The lines so far."""
        return "".join(f"{line}\n" for line in self._lines)


def attach_record(registry: RegistryClient, image: ImageReference, plan: BuildPlan, log: str) -> str:
    """Attaches both to the image. What went wrong, as a sentence, else an empty text: the image is whole without."""
    # The artifacts' library takes as long to import as an existence check takes altogether.
    from flyte_build.registry.artifacts import LOG_TYPE, PLAN_TYPE, Artifact, ArtifactFile, attach
    from flyte_build.registry.inventory import CREATED

    created = {CREATED: datetime.now(timezone.utc).isoformat(timespec="seconds")}
    kept: tuple[tuple[str, str, bytes, dict[str, str]], ...] = (
        (PLAN_TYPE, "plan.json", encode(plan), {}),
        (LOG_TYPE, "build.log", log.encode(), created),
    )
    try:
        with tempfile.TemporaryDirectory(prefix="flyte-build-record-") as folder:
            for kind, title, content, annotations in kept:
                path = Path(folder, title)
                path.write_bytes(content)
                file = ArtifactFile(path=path, title=title, media_type=kind)
                attach(registry, image, Artifact(artifact_type=kind, files=(file,), annotations=annotations))
    except (FlyteBuildError, OSError) as error:
        return f"the plan and the log were not attached to {image}: {error}"
    return ""


def _values(file: Path) -> set[str]:
    """What a secret may look like in a log: the whole, and each of its lines."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_SECRET_LIMIT).decode("utf-8", "replace")
    except OSError:
        return set()
    return {part for part in (text.strip(), *map(str.strip, text.splitlines())) if len(part) >= _LEAST_SECRET}
