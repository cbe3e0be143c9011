"""The image line for the build service: what the SDK sent -> pushed image."""

from __future__ import annotations

import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from flyte_build.builder.buildx.engine import BuildxEngine
from flyte_build.builder.engine import BuildOptions
from flyte_build.builder.machine import find_machine
from flyte_build.builder.sources import wire
from flyte_build.builder.spec import DEFAULT_PLATFORMS, ImageSpec
from flyte_build.bundler.receive import extract
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidInput
from flyte_build.worker.builds.request import BuildOutcome, BuildRequest, LogSink
from flyte_build.worker.drivers import image as driver


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceBuilding:
    """`ImageBuilding` by the buildx engine.

    `registry` takes images whose target names none. `platforms` are built where the request names none, which the
    SDK never does. `builder` is a Buildx builder's name.
    """

    registry: str
    platforms: tuple[Platform, ...] = DEFAULT_PLATFORMS
    builder: str | None = None
    timeout: float = 3600.0

    def __call__(self, request: BuildRequest, log: LogSink, cancelled: threading.Event) -> BuildOutcome:
        """As `ImageBuilding`."""
        started = time.monotonic()

        client = RegistryClient()
        with tempfile.TemporaryDirectory(prefix="flyte-build-request-") as folder:
            spec = self._spec(request, Path(folder) / "context")
            planned = driver.prepare(spec, Path(folder) / "context", client)
            request.settle(f"{planned.target.repository}@{planned.plan.spec_digest}")
            log(f"image {planned.target}")
            log(f"base {planned.resolved.base} for {', '.join(map(str, planned.plan.platforms))}")
            options = BuildOptions(
                builder=self.builder,
                machine=find_machine(),
                cache=f"{request.project}-",
                timeout=min(request.timeout or self.timeout, self.timeout),
                progress=log.step,
                cancelled=cancelled,
            )
            outcome = driver.build(planned, BuildxEngine(), client, options, force=request.force)
        if outcome.built is None or outcome.built.reference is None:
            raise AssertionError("a pushed build has a reference")
        log(f"{outcome.status} {outcome.built.reference}")
        return BuildOutcome(
            reference=str(outcome.built.reference),
            spec_digest=str(planned.plan.spec_digest),
            status=outcome.built.status,
            seconds=time.monotonic() - started,
        )

    def _spec(self, request: BuildRequest, context: Path) -> ImageSpec:
        if request.context is not None:
            extract(request.context, context)
        else:
            context.mkdir()
        registry, name = self._place(request.target)
        platforms = tuple(Platform.parse(text) for text in request.platforms) or self.platforms
        spec = wire.parse(request.spec, name=name, context=context, platforms=platforms)
        return replace(spec, registry=registry)

    def _place(self, target: str) -> tuple[str, str]:
        """Registry and name of what the SDK asked for; its tag is not ours to trust, the plan has its own."""
        name, _, tag = target.rpartition(":")
        if not name or "/" in tag:
            raise InvalidInput(f"{target!r} is not a target", hint="it is <name>:<tag> or <registry>/<name>:<tag>")
        registry, _, last = name.rpartition("/")
        return registry or self.registry, last
