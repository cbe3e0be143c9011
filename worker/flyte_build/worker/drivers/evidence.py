"""What is said of an image beside it: bills of materials, provenance, and signatures over both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Protocol

from flyte_build.builder.loose import Json, format_json
from flyte_build.builder.provenance import (
    BUILDER_CLI,
    PREDICATE_TYPE,
    Execution,
    Inputs,
    Source,
    predicate_of,
    statement_of,
)
from flyte_build.builder.sbom import Listed, Maker, sbom_of, sbom_of_index
from flyte_build.registry.names import ImageName, ImageReference
from flyte_build.worker.drivers.about import about
from flyte_build.worker.signing.argv import PROVENANCE, SBOM

if TYPE_CHECKING:
    from pathlib import Path

    from flyte_build.builder.engine import BuiltImage
    from flyte_build.builder.installed import Installed
    from flyte_build.registry.artifacts import Artifact
    from flyte_build.registry.client import RegistryClient
    from flyte_build.registry.descriptors import Platform
    from flyte_build.worker.drivers.image import Planned


class Signer(Protocol):
    """Whoever signs images and what is said of them. Every method raises SigningError."""

    def ready(self) -> None:
        """Nothing is missing that signing needs."""
        ...

    def signed(self, registry: RegistryClient, image: ImageReference) -> bool:
        """Whether it has signed the image."""
        ...

    def attested(self, registry: RegistryClient, image: ImageReference, kind: str) -> list[bytes] | None:
        """The statements of a kind about the image that it has signed; None where that cannot be known."""
        ...

    def sign(self, registry: RegistryClient, image: ImageReference) -> None:
        """Signs the image, and of an index its manifests."""
        ...

    def attest(self, registry: RegistryClient, image: ImageReference, statements: Mapping[str, bytes]) -> None:
        """Signs that these predicates, by cosign's names of their kinds, are true of the image."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What is said of the images that are built, and who says it.

    `builder` is the URI of whoever builds, `run` what the build is called there.
    """

    sbom: bool = True
    provenance: bool = True
    signer: Signer | None = None
    builder: str = BUILDER_CLI
    run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is to be said of an image and of its manifests. `sboms` are by the manifest or index that they are about.

    `predicate` is the provenance of all of them, None where it is not wanted.
    """

    image: ImageReference
    manifests: Mapping[Platform, ImageReference] = field(default_factory=dict)
    sboms: Mapping[ImageReference, bytes] = field(default_factory=dict)
    predicate: Json | None = None

    @property
    def subjects(self) -> tuple[ImageReference, ...]:
        """The image first, then what is below it."""
        return tuple(dict.fromkeys((self.image, *self.manifests.values())))

    def with_sboms(self, installed: tuple[Installed, ...]) -> Evidence:
        """The same, with a bill of each list whose manifest is known, and with one of all."""
        listed = [
            Listed(image=self.manifests[one.platform], installed=one)
            for one in installed
            if one.platform in self.manifests
        ]
        maker = Maker(version=_version(), at=now())
        sboms = {one.image: format_json(sbom_of(one, maker)) for one in listed}
        if listed and self.image not in sboms:
            sboms[self.image] = format_json(sbom_of_index(self.image, listed, maker))
        return replace(self, sboms=sboms)

    def without_sboms_below(self) -> Evidence:
        """The same, for an image whose manifests have theirs already."""
        return replace(self, sboms={subject: sbom for subject, sbom in self.sboms.items() if subject == self.image})

    def artifacts(self, subject: ImageReference, folder: Path, said: Mapping[str, str]) -> list[Artifact]:
        """What is attached to one of the subjects, written into `folder`; `said` are annotations of it."""
        from flyte_build.registry.artifacts import PREDICATE_KEY, SBOM_TYPE, STATEMENT_TYPE, artifact_in

        made = []
        if (sbom := self.sboms.get(subject)) is not None:
            made.append(artifact_in(folder, SBOM_TYPE, "sbom.cdx.json", sbom, said))
        if self.predicate is not None:
            statement, kind = statement_of(self.subjects, self.predicate), {PREDICATE_KEY: PREDICATE_TYPE}
            made.append(artifact_in(folder, STATEMENT_TYPE, "provenance.json", statement, {**said, **kind}))
        return made

    def statements(self, subject: ImageReference) -> dict[str, bytes]:
        """What is signed of one of the subjects."""
        found = {SBOM: self.sboms[subject]} if subject in self.sboms else {}
        return found | ({PROVENANCE: format_json(self.predicate)} if self.predicate is not None else {})


def believed(found: BuiltImage | None, registry: RegistryClient, trust: Trust) -> BuiltImage | None:
    """What exists, if whoever signs here has signed it: only what was built here is ever signed."""
    if found is None or found.status == "built" or found.reference is None or trust.signer is None:
        return found
    return found if trust.signer.signed(registry, found.reference) else None


def manifests_of(registry: RegistryClient, image: ImageReference) -> dict[Platform, ImageReference]:
    """The manifest of each platform; of an image that is no index itself. Raises RegistryError."""
    found = registry.resolve(ImageName(image.repository, digest=image.digest))
    if not found.manifests:
        return dict.fromkeys(found.platforms, image)
    return {one.platform: ImageReference(image.repository, one.digest) for one in found.manifests if one.platform}


def gather(
    planned: Planned,
    image: ImageReference,
    manifests: Mapping[Platform, ImageReference],
    when: tuple[str, str],
    trust: Trust,
) -> Evidence:
    """What `trust` wants to be said of an image before anybody looked into it. `manifests` are its own, `when` its
    build's begin and end.
    """
    if not trust.provenance:
        return Evidence(image=image, manifests=manifests)
    execution = Execution(builder=trust.builder, version=_version(), started=when[0], finished=when[1], name=trust.run)
    return Evidence(image=image, manifests=manifests, predicate=predicate_of(_inputs(planned), execution))


def now() -> str:
    """RFC 3339, in UTC."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _version() -> str:
    # Slow to import, and not needed to find that an image exists.
    from importlib.metadata import version

    return version("flyte-build")


def _inputs(planned: Planned) -> Inputs:
    context = planned.resolved.context
    facts = about(planned)
    url, revision = (facts.get(f"org.opencontainers.image.{name}", "") for name in ("source", "revision"))
    return Inputs(
        plan=planned.plan,
        target=planned.target,
        images=(context.base, *context.images.values()),
        source=Source(url=url, revision=revision) if url and revision else None,
    )
