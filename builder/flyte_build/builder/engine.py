"""What an engine is: something that executes a plan.

Behaviour is added by wrapping (`Once`, `Preflighted`), not by flags inside an engine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from flyte_build.builder.context import Context
from flyte_build.builder.machine import Machine
from flyte_build.builder.plan import BuildPlan
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import FlyteBuildError
from flyte_build.registry.identity import Credentials
from flyte_build.registry.names import Digest, ImageReference, Registry, Target

Output = Literal["push", "part", "load", "none"]
Compression = Literal["zstd", "gzip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """A step began. `title` is ours for steps of the plan and the engine's for its own work."""

    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnded:
    """A step ended. `error` is empty unless it failed; `seconds` is 0.0 for a cached one."""

    title: str
    seconds: float
    cached: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutput:
    """A line that a step printed: plain text, terminal escapes stripped."""

    title: str
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProgress:
    """How far a part of a step is, like a layer that is pulled or pushed. Bytes; `total` is 0 where nobody knows.

    `what` is the engine's name of the part; `seconds` since it began. Told now and then, and once when it `ended`.
    """

    title: str
    what: str
    done: int
    total: int
    seconds: float
    ended: bool = False


BuildEvent = StepStarted | StepEnded | StepOutput | StepProgress


def silent(event: BuildEvent) -> None:
    """A progress sink for when nobody looks."""


@contextmanager
def step(progress: Callable[[BuildEvent], None], title: str) -> Iterator[None]:
    """Tells what happens in the block as a step; one that raises ended with that error."""
    began = time.monotonic()

    def ended(error: str = "") -> None:
        progress(StepEnded(title=title, seconds=time.monotonic() - began, error=error))

    progress(StepStarted(title=title))
    try:
        yield
    except Exception as error:
        ended(error.sentence if isinstance(error, FlyteBuildError) else type(error).__name__)
        raise
    ended()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """Everything about a build that does not change the image, and so can never be digested.

    `secrets` are files by secret name; `credentials` reach the engine in place of the user's own. `cache` separates
    the cache mounts of tenants; `isolated` refuses a builder whose steps are in its machine's network. `timeout` is in
    seconds; `until` is when the build must be over, of `time.monotonic`, and may move on meanwhile: then it is killed
    also where its own process hangs. The output `part` pushes under a tag of its own, and `only` says for which of the
    plan's platforms: `join_parts` makes the image of them.
    """

    output: Output = "push"
    only: tuple[Platform, ...] = ()
    builder: str | None = None
    compression: Compression = "zstd"
    machine: Machine = field(default_factory=Machine)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    credentials: Mapping[Registry, Credentials] = field(default_factory=dict, repr=False)
    cache: str = ""
    isolated: bool = False
    no_cache: bool = False
    reproducible: bool = False
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    timeout: float | None = None
    until: Callable[[], float] | None = None
    progress: Callable[[BuildEvent], None] = silent
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """What came of a build. `digest` is None only where nothing was exported; `reference` where nothing was pushed."""

    spec_digest: Digest
    digest: Digest | None
    reference: ImageReference | None
    platforms: tuple[Platform, ...]
    status: Literal["built", "exists"]
    engine: str
    seconds: float


class Engine(Protocol):
    """Something that executes a plan."""

    def build(self, plan: BuildPlan, context: Context, target: Target, options: BuildOptions) -> BuiltImage:
        """Build `plan` and put it where `options.output` says.

        Raises BuildFailed with the failing step and its last lines, BuildCancelled, EngineMissing, or
        RegistryError when the push is refused.
        """
        ...
