"""The seam between the build service and whatever builds: what is asked, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One build, everything in it verified by the service.

    `spec` is a serialized `flyteidl2.imagebuilder.ImageSpec`, `context` a `.tar.gz` on this machine that lives as long
    as the build (None when there is none), `target` is `<name>:<tag>` or `<registry>/<name>:<tag>` as it was asked.
    """

    spec: bytes
    context: Path | None
    target: str
    project: str
    domain: str
    force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOutcome:
    """An image that is pushed: `reference` is `host/repository@sha256:…`."""

    reference: str
    spec_digest: str
    status: Literal["built", "exists"]
    seconds: float


class ImageBuilding(Protocol):
    """Builds and pushes one image; blocks until it is done.

    `log` takes one or more lines of plain or hostile text and may be called from any thread. When `cancelled` is set
    the build must stop soon and raise. Raises FlyteBuildError; BuildFailed says which step failed and why.
    """

    def __call__(
        self, request: BuildRequest, log: Callable[[str], None], cancelled: threading.Event
    ) -> BuildOutcome: ...
