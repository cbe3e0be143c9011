"""The image line for the build service: what the SDK sent -> pushed image."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from flyte_build.builder.buildx.engine import BuildxEngine
from flyte_build.builder.engine import BuildOptions, BuiltImage
from flyte_build.builder.join import join_parts
from flyte_build.builder.machine import find_machine
from flyte_build.builder.sources import wire
from flyte_build.builder.spec import DEFAULT_PLATFORMS, ImageSpec
from flyte_build.bundler.receive import extract
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidInput, ServiceUnavailable
from flyte_build.registry.names import ImageName, ImageReference
from flyte_build.worker.access.policy import Policies, Policy
from flyte_build.worker.access.targets import repository_of
from flyte_build.worker.builds.request import BuildOutcome, BuildRequest, LogSink
from flyte_build.worker.drivers import image as driver
from flyte_build.worker.drivers import service_plan
from flyte_build.worker.drivers.pushed import new_bytes
from flyte_build.worker.secrets.gather import wanted
from flyte_build.worker.secrets.projects import ProjectSecrets


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceBuilding:
    """`ImageBuilding` by the buildx engine.

    `registry` takes images whose target names none, if `policies` do not say otherwise. `platforms` are built where the
    request names none, which the SDK never does. `builder` is a Buildx builder's name.
    """

    registry: str
    policies: Policies | None = None
    secrets: ProjectSecrets = ProjectSecrets()
    platforms: tuple[Platform, ...] = DEFAULT_PLATFORMS
    builder: str | None = None
    timeout: float = 3600.0

    def __call__(self, request: BuildRequest, log: LogSink, cancelled: threading.Event) -> BuildOutcome:
        """As `ImageBuilding`."""
        started = time.monotonic()
        policy = self._policy(request)
        client = RegistryClient()
        with tempfile.TemporaryDirectory(prefix="flyte-build-request-") as folder:
            if request.places is None:
                planned = self._planned(request, policy, client, Path(folder) / "context", log)
            else:
                planned = service_plan.planned(request, policy)
            request.settle(f"{planned.target.repository}@{planned.plan.spec_digest}")
            log(f"image {planned.target}")
            log(f"base {planned.resolved.base} for {_named(planned.plan.platforms)}")
            if request.part or request.parts:
                found = None if request.force else driver.check(planned, client).built
                if found is not None or request.parts:
                    return _joined(request, planned, found, client, started)
            options = BuildOptions(
                output="part" if request.part else "push",
                only=(Platform.parse(request.part),) if request.part else (),
                builder=self.builder,
                # What steps are given, hostile ones can read: nobody's passwords for the whole machine.
                machine=replace(find_machine(), netrc=None),
                cache=f"{request.project}-",
                timeout=min(request.timeout or self.timeout, self.timeout, policy.limits.build_seconds or self.timeout),
                secrets=self.secrets.files(request.project, wanted(planned.plan)),
                progress=log.step,
                cancelled=cancelled,
            )
            engine = BuildxEngine()
            records: list[Callable[[], list[str]]] = []
            wishes = driver.Wishes(surveyor=engine, later=records.append)
            outcome = driver.build(planned, engine, client, options, force=request.force, wishes=wishes)
        if outcome.built is None or outcome.built.reference is None:
            raise AssertionError("a pushed build has a reference")
        new = outcome.built.status == "built"
        pushed = new_bytes(client, outcome.built.reference, planned.resolved.base) if new else 0
        log(f"{outcome.status} {outcome.built.reference}")
        return BuildOutcome(
            reference=str(outcome.built.reference),
            spec_digest=str(planned.plan.spec_digest),
            status=outcome.built.status,
            seconds=time.monotonic() - started,
            pushed_bytes=pushed,
            afterwards=tuple(records),
        )

    def _policy(self, request: BuildRequest) -> Policy:
        policies = self.policies or Policies(registry=self.registry)
        if request.guarded and not policies.guarded:
            raise InvalidInput(
                "the worker that took this build does not know what projects may, and the service asks for it",
                hint="whoever runs the service starts its workers with the --access of its endpoint",
            )
        return policies.of(request.project, request.domain)

    def _planned(
        self, request: BuildRequest, policy: Policy, client: RegistryClient, context: Path, log: LogSink
    ) -> driver.Planned:
        spec = self._spec(request, policy, context)
        if not spec.platforms:
            spec = replace(spec, platforms=self._default(request))
            log(f"the request names no platform: {_named(spec.platforms)} is this service's default")
        planned = driver.prepare(spec, context, client)
        for image in planned.resolved.context.images.values():
            policy.check_base(image.repository)
        return planned

    def _default(self, request: BuildRequest) -> tuple[Platform, ...]:
        return tuple(Platform.parse(text) for text in request.platforms) or self.platforms

    def _spec(self, request: BuildRequest, policy: Policy, context: Path) -> ImageSpec:
        """What is asked, once it is known to be allowed: to resolve a base is to ask its registry with our rights."""
        repository = repository_of(request.target, policy)
        if request.context is None:
            context.mkdir()
        else:
            policy.check_context(request.context.stat().st_size)
            extract(request.context, context)
        spec = wire.parse(request.spec, name=repository.name, context=context)
        if spec.base is not None:
            policy.check_base(ImageName.parse(spec.base).repository)
        return replace(spec, registry=str(repository).removesuffix(f"/{repository.name}"))


def _named(platforms: tuple[Platform, ...]) -> str:
    return " and ".join(map(str, platforms))


def _joined(
    request: BuildRequest, planned: driver.Planned, found: BuiltImage | None, client: RegistryClient, started: float
) -> BuildOutcome:
    """One image of what several workers built, or the one that is there already."""
    digest = str(planned.plan.spec_digest)
    reference = found.reference if found is not None else None
    if reference is None:
        if any(part.spec_digest != digest for part in request.parts):
            raise ServiceUnavailable(f"the base of {planned.target.repository} moved while its platforms were built")
        parts = {Platform.parse(part.platforms): ImageReference.parse(part.reference) for part in request.parts}
        reference = join_parts(planned.plan, planned.target, parts, client.manifests)
    return BuildOutcome(
        reference=str(reference),
        spec_digest=digest,
        status="built" if found is None else "exists",
        seconds=time.monotonic() - started,
    )
