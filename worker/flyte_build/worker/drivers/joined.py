"""What is kept of an image that was joined of parts: each part's own worker has looked into it and said so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

from flyte_build.builder.engine import BuildEvent, silent
from flyte_build.builder.installed import Installed
from flyte_build.builder.provenance import read_statement
from flyte_build.builder.sbom import installed_said
from flyte_build.registry.errors import FlyteBuildError, RegistryMissing, SigningError
from flyte_build.registry.inventory import inspect_image
from flyte_build.registry.names import ImageName
from flyte_build.registry.parallel import beside, in_parallel
from flyte_build.worker.drivers.about import about
from flyte_build.worker.drivers.evidence import Trust, gather, now
from flyte_build.worker.drivers.installed import read_installed
from flyte_build.worker.drivers.record import Record, attach_record
from flyte_build.worker.drivers.signatures import Signatures
from flyte_build.worker.signing.argv import SBOM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flyte_build.registry.client import RegistryClient
    from flyte_build.registry.descriptors import Platform
    from flyte_build.registry.names import ImageReference
    from flyte_build.worker.drivers.image import Planned


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """An image, and the manifests that it was made of. `asked_at` is when it was asked for, in seconds since 1970."""

    planned: Planned
    image: ImageReference
    parts: Mapping[Platform, ImageReference]
    asked_at: float
    progress: Callable[[BuildEvent], None] = silent

    def keep(self, registry: RegistryClient, trust: Trust) -> list[str]:
        """Attaches and signs, as `Keeping.keep`: SigningError is the only error."""
        signatures = Signatures(signer=trust.signer, registry=registry, progress=self.progress)
        began = datetime.fromtimestamp(self.asked_at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        whole = gather(self.planned, self.image, self.parts, (began if self.asked_at else "", now()), trust)
        with beside(partial(signatures.attest, whole)):
            installed, notes = self._installed(registry, trust)
        if trust.sbom:
            # What is in a part was said, and signed, where it was built.
            whole = whole.with_sboms(installed).without_sboms_below()
        record = Record(plan=self.planned.plan, installed=installed, about=about(self.planned))
        with beside(partial(signatures.attest, replace(whole, predicate=None))):
            notes.append(attach_record(registry, self.image, record, whole, self.progress))
        signatures.sign(self.image)
        return notes

    def _installed(self, registry: RegistryClient, trust: Trust) -> tuple[tuple[Installed, ...], list[str]]:
        """What the parts' workers found, by platform; with sentences about parts of which that is not known."""

        def asked(platform: Platform) -> Installed | str:
            try:
                return installed_in(registry, self.parts[platform], trust)
            except FlyteBuildError as error:
                return f"what is installed for {platform} is not listed: {error.sentence}"

        answers = in_parallel(asked, tuple(self.parts), registry.api.options.parallel)
        notes = [answer for answer in answers if isinstance(answer, str)]
        found = tuple(answer for answer in answers if isinstance(answer, Installed))
        return () if notes else found, notes


def installed_in(registry: RegistryClient, part: ImageReference, trust: Trust) -> Installed:
    """What is installed in a part. What will be signed must be signed already: who may push could have attached another
    list meanwhile. Raises SigningError, or RegistryError when nothing is attached.
    """
    signer = trust.signer if trust.sbom else None
    signed = None if signer is None else signer.attested(registry, part, SBOM)
    if signed is not None:
        if not signed:
            raise SigningError(f"nobody signed what is in {part}")
        return installed_said(read_statement(signed[0]).predicate)
    found = read_installed(registry, inspect_image(registry, ImageName(part.repository, digest=part.digest)))
    if not found:
        raise RegistryMissing(f"nothing is attached to {part}")
    return found[0]
