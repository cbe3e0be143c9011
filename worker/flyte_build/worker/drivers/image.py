"""The image line: spec -> resolved -> plan -> built or found. Reads as DESIGN's first picture; all wiring is here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from flyte_build.builder.engine import BuildOptions, BuiltImage, Engine
from flyte_build.builder.once import Once, Preflighted, existing_image
from flyte_build.builder.plan import BuildPlan, plan
from flyte_build.builder.resolve import AS_WRITTEN, BaseResolver, Pinning, ResolvedSpec, resolve
from flyte_build.builder.spec import ImageSpec
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.ecr import NewRepository, ensure_repository
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.identity import Credentials
from flyte_build.registry.names import Digest, ImageName, Registry, Repository, Target, parse_tag
from flyte_build.worker.drivers.evidence import Trust, believed, now
from flyte_build.worker.drivers.installed import Surveyor
from flyte_build.worker.drivers.keeping import Keeping, OnceSigned
from flyte_build.worker.drivers.record import Discreet, Ready, Recording
from flyte_build.worker.secrets.redaction import Redactor

Status = Literal["built", "exists", "missing", "planned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A spec that is ready: its plan, where its files lie, and where it goes.

    `notes` are sentences that the user should see although all is well; `remarks` are said before the build.
    """

    spec: ImageSpec
    resolved: ResolvedSpec
    plan: BuildPlan
    target: Target
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one image. `built` is None where nothing was asked of an engine and nothing was found.

    `notes` are sentences that the user should see although all went well.
    """

    planned: Planned
    status: Status
    built: BuiltImage | None = None
    notes: tuple[str, ...] = ()


def prepare(
    spec: ImageSpec, root: Path, bases: BaseResolver, *, tags: tuple[str, ...] = (), pins: Pinning = AS_WRITTEN
) -> Planned:
    """Resolve and plan. `spec.registry` must be set, or the image has nowhere to go (InvalidInput)."""
    if spec.registry is None:
        target_repository(spec)
    # A name that no registry takes is one of the problems that this finds.
    resolved = resolve(spec, root, bases, pins)
    built, repository = plan(resolved), target_repository(spec)
    extra = tuple(parse_tag(tag) for tag in tags)
    return Planned(
        spec=spec, resolved=resolved, plan=built, target=Target(repository, tuple(dict.fromkeys((built.tag, *extra))))
    )


def target_repository(spec: ImageSpec) -> Repository:
    """`<registry[/path]>/<name>`."""
    if spec.registry is None:
        raise InvalidInput(
            f"the image {spec.name!r} has no registry to go to",
            hint="give --registry, set FLYTE_BUILD_REGISTRY, or write `registry` in the spec",
        )
    return Repository.parse(f"{spec.registry}/{spec.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is wanted of `build` beside the image. `create` makes the repository where that is ECR's.

    `surveyor` says what is installed in the image, which then is attached too, and `trust` what is said of it. `later`
    is handed the attaching (which answers what went wrong, in sentences) where nobody is to wait for it and nothing is
    signed.
    """

    attach: bool = True
    trust: Trust = Trust()
    surveyor: Surveyor | None = None
    create: NewRepository | None = None
    later: Callable[[Callable[[], list[str]]], None] | None = None


_NO_WISHES = Wishes()
_NO_TRUST = Trust()


def build(
    planned: Planned,
    engine: Engine,
    registry: RegistryClient,
    options: BuildOptions,
    *,
    force: bool,
    wishes: Wishes = _NO_WISHES,
) -> Outcome:
    """Build the image unless it exists (`force` builds anyway), give every extra tag to it, attach what is kept of it.

    With a signer, what exists counts only if it has signed it.
    """
    target = planned.target
    machine = options.machine
    redact = Redactor.of_build(options.secrets.values(), (machine.index_url or "", *machine.extra_index_urls))
    recording = Recording(options.progress, redact)
    options = replace(options, credentials=credentials_of(planned, registry), progress=recording)
    pushes, signer = options.output == "push", wishes.trust.signer
    if signer is not None and options.output in {"push", "part"}:
        signer.ready()
    if wishes.create is not None and pushes:
        ensure_repository(target.repository, wishes.create)
    before = [_named_now(registry, name) for name in target.names()[1:]] if pushes else []
    attaches = wishes.attach and pushes
    keeping = Keeping(
        planned=planned, registry=registry, options=options, wishes=wishes, recording=recording, began=now()
    )
    wrapped: Engine = Preflighted(Discreet(Ready(engine) if attaches else engine, redact), registry)
    if not force and pushes:
        once = Once(wrapped, registry)
        wrapped = OnceSigned(once, wrapped, registry, wishes.trust)
    built = wrapped.build(planned.plan, planned.resolved.context, target, options)
    if built.reference is None or not pushes:
        notes = keeping.keep_part(built.reference) if built.reference and options.output == "part" else []
        return Outcome(planned=planned, status=built.status, built=built, notes=tuple(filter(None, notes)))
    if built.status == "exists":
        for tag in target.tags[1:]:
            registry.put_tag(built.reference, tag)
    notes = list(planned.notes)
    notes += [_moved(name, old, built) for name, old in zip(target.names()[1:], before, strict=True)]
    if (attaches or signer is not None) and built.status == "built":
        keep = partial(keeping.keep, built.reference)
        # Whoever hears of an image that is to be signed must find it signed.
        if wishes.later is None or signer is not None:
            notes += keep()
        else:
            wishes.later(keep)
    return Outcome(planned=planned, status=built.status, built=built, notes=tuple(filter(None, notes)))


def _named_now(registry: RegistryClient, name: ImageName) -> Digest | None:
    manifest = registry.manifests.find(name)
    return manifest.descriptor.digest if manifest else None


def _moved(name: ImageName, before: Digest | None, built: BuiltImage) -> str:
    """A tag of the user's that named another image must not move in silence."""
    if before is None or before == built.digest:
        return ""
    return f"the tag {name} named {before} and names {built.digest} now"


def credentials_of(planned: Planned, registry: RegistryClient) -> dict[Registry, Credentials]:
    """What the client knows of the registries that the build pulls from and pushes to."""
    source = registry.credentials
    context = planned.resolved.context
    images = (context.base, *context.images.values())
    registries = {planned.target.repository.registry, *(image.repository.registry for image in images)}
    return {registry: found for registry in registries if (found := source.for_registry(registry)) is not None}


def check(planned: Planned, registry: RegistryClient, trust: Trust = _NO_TRUST) -> Outcome:
    """Whether `build` would find the image, without building it: with a signer, only what it has signed."""
    found = existing_image(planned.plan, planned.target, registry)
    if found is None:
        return Outcome(planned=planned, status="missing")
    built = BuiltImage(
        spec_digest=planned.plan.spec_digest,
        digest=found.reference.digest,
        reference=found.reference,
        platforms=planned.plan.platforms,
        status="exists",
        engine="registry",
        seconds=0.0,
    )
    if believed(built, registry, trust) is None:
        return Outcome(planned=planned, status="missing", notes=(f"{built.reference} is there, and not signed by us",))
    return Outcome(planned=planned, status="exists", built=built)
