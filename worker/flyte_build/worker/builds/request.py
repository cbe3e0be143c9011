"""The seam between the build service and whatever builds: what is asked, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from flyte_build.builder.engine import BuildEvent
    from flyte_build.worker.builds.plans import Places
    from flyte_build.worker.builds.values import Part


# Bytes of a spec as it is uploaded.
MAX_SPEC = 4 * 2**20


class BuildJoined(Exception):
    """Another build makes the same image right now; there is nothing left to do."""


def unsettled(image_key: str) -> str:  # noqa: ARG001
    """For when nobody else builds, and nothing is remembered."""
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One build, everything in it verified by the service.

    `spec` is a serialized `flyteidl2.imagebuilder.ImageSpec`, `context` a `.tar.gz` on this machine that lives as long
    as the build (None when there is none), `target` is `<name>:<tag>` or `<registry>/<name>:<tag>` as it was asked.
    `asked_at` is seconds since 1970, `trace` the context of the trace that it belongs to (W3C), or empty.
    `platforms` are the image's, where the service decides them; with a `part` only that platform is built and pushed
    under a tag of its own; with `parts` those are joined and nothing is built. `timeout` is in seconds, 0 for the
    builder's own.
    `guarded`: it was asked of a service with rules of who may, which the builder must have too.
    With `places`, `spec` is our canonical plan and `context` a folder with its files, named by sha256.
    `settle` must be called with repository and spec digest before anything is built; it may raise BuildJoined. It
    answers the pinned reference that this service pushed for them, or an empty text.
    `until` is when the build must be over unless it moves on meanwhile, of `time.monotonic`.
    """

    spec: bytes
    context: Path | None
    target: str
    project: str
    domain: str
    force: bool
    places: Places | None = None
    build_id: str = ""
    asked_at: float = 0.0
    trace: str = ""
    guarded: bool = False
    platforms: tuple[str, ...] = ()
    part: str = ""
    parts: tuple[Part, ...] = ()
    timeout: float = 0.0
    settle: Callable[[str], str] = unsettled
    until: Callable[[], float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOutcome:
    """An image that is pushed: `reference` is `host/repository@sha256:…`.

    `pushed_bytes` is the size of its layers that the base does not have, 0 when it was there already. `afterwards` is
    what nobody is to wait for; each says what went wrong, in sentences. `bases` is what the spec was planned with
    (`Resolved.encode`), empty where a plan was sent. `signed`: whoever builds has signed the image.
    """

    reference: str
    spec_digest: str
    status: Literal["built", "exists"]
    seconds: float
    pushed_bytes: int = 0
    afterwards: tuple[Callable[[], list[str]], ...] = ()
    bases: str = ""
    signed: bool = False


class LogSink(Protocol):
    """Takes what happens in a build, plain or hostile text, from any thread."""

    def __call__(self, text: str) -> None:
        """One or more lines of the builder itself."""
        ...

    def step(self, event: BuildEvent) -> None:
        """What its engine says."""
        ...


class ImageBuilding(Protocol):
    """Builds and pushes one image; blocks until it is done.

    `log` is told what happens. When `cancelled` is set
    the build must stop soon and raise. Raises FlyteBuildError; BuildFailed says which step failed and why.
    """

    def __call__(self, request: BuildRequest, log: LogSink, cancelled: threading.Event) -> BuildOutcome: ...
