"""What is done once an image is pushed: what is installed is listed, what is kept is attached, and all is signed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from flyte_build.builder.engine import BuildOptions, BuiltImage, Engine
from flyte_build.registry.errors import EngineError, RegistryError
from flyte_build.registry.parallel import beside
from flyte_build.worker.drivers.about import about
from flyte_build.worker.drivers.evidence import Evidence, Trust, believed, gather, manifests_of, now
from flyte_build.worker.drivers.installed import list_installed
from flyte_build.worker.drivers.record import Record, attach_record
from flyte_build.worker.drivers.signatures import Signatures

if TYPE_CHECKING:
    from flyte_build.builder.context import Context
    from flyte_build.builder.installed import Installed
    from flyte_build.builder.plan import BuildPlan
    from flyte_build.registry.client import RegistryClient
    from flyte_build.registry.names import ImageReference, Target
    from flyte_build.worker.drivers.image import Planned, Wishes
    from flyte_build.worker.drivers.record import Recording


@dataclass(frozen=True, slots=True)
class OnceSigned:
    """What exists is the answer if our key signed it; else it is built again: only what we built is ever signed."""

    once: Engine
    engine: Engine
    registry: RegistryClient
    trust: Trust

    def build(self, plan: BuildPlan, context: Context, target: Target, options: BuildOptions) -> BuiltImage:
        """As `Engine.build`; SigningError when nobody can say whether what exists is signed."""
        found = believed(self.once.build(plan, context, target, options), self.registry, self.trust)
        return found or self.engine.build(plan, context, target, options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How a build that `began` was made, and what is wanted of it beside the image."""

    planned: Planned
    registry: RegistryClient
    options: BuildOptions
    wishes: Wishes
    recording: Recording
    began: str

    def keep(self, image: ImageReference) -> list[str]:
        """Lists, attaches and signs. What went wrong, in sentences: the image is whole without. Only a signature that
        could not be made is an error (SigningError).
        """
        provenance, why = self._provenance(image)
        with beside(partial(self._signatures.attest, provenance)):
            installed, note = self._installed(image) if self.wishes.attach else ((), "")
        evidence = self._with_sboms(provenance, installed)
        notes = [note, why]
        with beside(partial(self._signatures.attest, replace(evidence, predicate=None))):
            if self.wishes.attach:
                notes.append(self._attached(image, self._record(installed), evidence))
        self._signatures.sign(image)
        return notes

    def keep_part(self, image: ImageReference) -> list[str]:
        """The same for a manifest that will be a part of an image: whoever joins it says the rest."""
        installed, note = self._installed(image)
        provenance, why = self._provenance(image)
        evidence = Evidence(image=image, sboms=self._with_sboms(provenance, installed).sboms)
        with beside(partial(self._signatures.attest, evidence)):
            attached = self._attached(image, Record(installed=installed), evidence)
        return [note, why, attached]

    @property
    def _signatures(self) -> Signatures:
        return Signatures(signer=self.wishes.trust.signer, registry=self.registry, progress=self.recording)

    def _attached(self, image: ImageReference, record: Record, evidence: Evidence) -> str:
        return attach_record(self.registry, image, record, evidence, self.recording)

    def _record(self, installed: tuple[Installed, ...]) -> Record:
        return Record(plan=self.planned.plan, log=self.recording.text, installed=installed, about=about(self.planned))

    def _installed(self, image: ImageReference) -> tuple[tuple[Installed, ...], str]:
        """What is installed in the image, and a sentence when that is not known."""
        if self.wishes.surveyor is None:
            return (), ""
        try:
            job = (self.planned.plan, self.options)
            return list_installed(self.wishes.surveyor, self.registry, image, job), ""
        except (EngineError, RegistryError) as error:
            return (), f"what is installed is not listed: {error.sentence}"

    def _provenance(self, image: ImageReference) -> tuple[Evidence, str]:
        """What can be said of the image before anybody looks into it, and a sentence when nothing can."""
        trust = self.wishes.trust
        if not self.wishes.attach or not (trust.sbom or trust.provenance):
            return Evidence(image=image), ""
        try:
            manifests = manifests_of(self.registry, image)
        except RegistryError as error:
            return Evidence(image=image), f"nothing is said of {image}: {error.sentence}"
        return gather(self.planned, image, manifests, (self.began, now()), trust), ""

    def _with_sboms(self, evidence: Evidence, installed: tuple[Installed, ...]) -> Evidence:
        return evidence.with_sboms(installed) if self.wishes.trust.sbom else evidence
