"""The image line for the build service: what the SDK sent -> pushed image."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from flyte_build.builder.buildx.engine import BuildxEngine
from flyte_build.builder.engine import BuildOptions
from flyte_build.builder.join import join_parts
from flyte_build.builder.machine import find_machine
from flyte_build.builder.provenance import BUILDER_SERVICE
from flyte_build.builder.resolve import BaseResolver
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
from flyte_build.worker.drivers.asked import Asked
from flyte_build.worker.drivers.evidence import Trust
from flyte_build.worker.drivers.joined import Joined
from flyte_build.worker.drivers.pushed import new_bytes
from flyte_build.worker.drivers.retries import telling_client
from flyte_build.worker.secrets.gather import wanted
from flyte_build.worker.secrets.projects import ProjectSecrets


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """What became of a request. `afterwards` is what nobody is to wait for, `notes` what should be seen."""

    reference: ImageReference
    status: Literal["built", "exists"] = "built"
    pushed_bytes: int = 0
    afterwards: tuple[Callable[[], list[str]], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceBuilding:
    """`ImageBuilding` by the buildx engine.

    `registry` takes images whose target names none, if `policies` do not say otherwise. `platforms` are built where the
    request names none, which the SDK never does. `builder` is a Buildx builder's name. What is in the registry under a
    plan's tag is an answer if this service pushed it; with `trust_registry` also if it says that it is of that plan.
    """

    registry: str
    policies: Policies | None = None
    secrets: ProjectSecrets = ProjectSecrets()
    platforms: tuple[Platform, ...] = DEFAULT_PLATFORMS
    builder: str | None = None
    timeout: float = 3600.0
    trust_registry: bool = False
    trust: Trust = Trust(builder=BUILDER_SERVICE)

    def __call__(self, request: BuildRequest, log: LogSink, cancelled: threading.Event) -> BuildOutcome:
        """As `ImageBuilding`."""
        started = time.monotonic()
        policy = self._policy(request)
        client = telling_client(log)
        asked = Asked(client)
        trust = replace(self.trust, run=request.build_id)
        with tempfile.TemporaryDirectory(prefix="flyte-build-request-") as folder:
            if request.places is None:
                planned = self._planned(request, policy, asked, Path(folder) / "context", log)
            else:
                planned = service_plan.planned(request, policy)
            known = request.settle(f"{planned.target.repository}@{planned.plan.spec_digest}")
            log(f"image {planned.target}")
            log(f"base {planned.resolved.base} for {_named(planned.plan.platforms)}")
            found = None if request.force else self._found(planned, known, client, log)
            if found is not None:
                made = _Made(reference=found, status="exists")
            elif request.parts:
                made = _joined(request, planned, client, trust, log)
            else:
                options = self._options(request, policy, planned, log, cancelled)
                made = _built(planned, client, options, trust)
        for note in made.notes:
            log(note)
        log(f"{made.status} {made.reference}")
        return BuildOutcome(
            reference=str(made.reference),
            spec_digest=str(planned.plan.spec_digest),
            status=made.status,
            seconds=time.monotonic() - started,
            pushed_bytes=made.pushed_bytes,
            afterwards=made.afterwards,
            bases=asked.resolved() if request.places is None else "",
            signed=trust.signer is not None,
        )

    def _options(
        self,
        request: BuildRequest,
        policy: Policy,
        planned: driver.Planned,
        log: LogSink,
        cancelled: threading.Event,
    ) -> BuildOptions:
        return BuildOptions(
            output="part" if request.part else "push",
            only=(Platform.parse(request.part),) if request.part else (),
            builder=self.builder,
            # What steps are given, hostile ones can read: nobody's passwords for the whole machine.
            machine=replace(find_machine(), netrc=None),
            cache=f"{request.project}-",
            isolated=request.guarded,
            timeout=min(request.timeout or self.timeout, self.timeout, policy.limits.build_seconds or self.timeout),
            secrets=self.secrets.files(request.project, wanted(planned.plan)),
            progress=log.step,
            cancelled=cancelled,
            until=request.until,
        )

    def _found(
        self, planned: driver.Planned, known: str, client: RegistryClient, log: LogSink
    ) -> ImageReference | None:
        """The image, where it need not be built; with every tag that was asked for."""
        found = _kept(known, client, log)
        if found is None and self.trust_registry:
            built = driver.check(planned, client).built
            found = built.reference if built is not None else None
        signer = self.trust.signer
        if found is not None and signer is not None and not signer.signed(client, found):
            log(f"{found} is there, and nobody signed it")
            return None
        if found is not None:
            for tag in planned.target.tags[1:]:
                client.put_tag(found, tag)
        return found

    def _policy(self, request: BuildRequest) -> Policy:
        policies = self.policies or Policies(registry=self.registry)
        if request.guarded and not policies.guarded:
            raise InvalidInput(
                "the worker that took this build does not know what projects may, and the service asks for it",
                hint="whoever runs the service starts its workers with the --access of its endpoint",
            )
        return policies.of(request.project, request.domain)

    def _planned(
        self, request: BuildRequest, policy: Policy, bases: BaseResolver, context: Path, log: LogSink
    ) -> driver.Planned:
        spec = self._spec(request, policy, context)
        if not spec.platforms:
            spec = replace(spec, platforms=self._default(request))
            log(f"the request names no platform: {_named(spec.platforms)} is this service's default")
        planned = driver.prepare(spec, context, bases)
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


def _kept(known: str, client: RegistryClient, log: LogSink) -> ImageReference | None:
    """What this service pushed, if its registry still has it."""
    if not known:
        return None
    reference = ImageReference.parse(known)
    if client.manifests.find(ImageName(reference.repository, digest=reference.digest)) is not None:
        return reference
    log(f"{reference} was built here before, and the registry has not got it any more")
    return None


def _built(planned: driver.Planned, client: RegistryClient, options: BuildOptions, trust: Trust) -> _Made:
    """Built and pushed; whether it exists was found out before, and not from what the registry says alone."""
    engine = BuildxEngine()
    records: list[Callable[[], list[str]]] = []
    wishes = driver.Wishes(surveyor=engine, later=records.append, trust=trust)
    outcome = driver.build(planned, engine, client, options, force=True, wishes=wishes)
    if outcome.built is None or outcome.built.reference is None:
        raise AssertionError("a pushed build has a reference")
    reference = outcome.built.reference
    pushed = new_bytes(client, reference, planned.resolved.base)
    return _Made(reference=reference, pushed_bytes=pushed, afterwards=tuple(records), notes=outcome.notes)


def _joined(
    request: BuildRequest, planned: driver.Planned, client: RegistryClient, trust: Trust, log: LogSink
) -> _Made:
    """One image of what several workers built, signed before anybody hears of it."""
    digest = str(planned.plan.spec_digest)
    if any(part.spec_digest != digest for part in request.parts):
        raise ServiceUnavailable(f"the base of {planned.target.repository} moved while its platforms were built")
    parts = {Platform.parse(part.platforms): ImageReference.parse(part.reference) for part in request.parts}
    image = join_parts(planned.plan, planned.target, parts, client.manifests)
    joined = Joined(planned=planned, image=image, parts=parts, asked_at=request.asked_at, progress=log.step)
    if trust.signer is None:
        return _Made(reference=image, afterwards=(partial(joined.keep, client, trust),))
    return _Made(reference=image, notes=tuple(filter(None, joined.keep(client, trust))))
