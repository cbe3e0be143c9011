"""What is done once an image is pushed: what is installed is listed, what is kept is attached, and all is signed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from flyte_build.builder.engine import BuildOptions, BuiltImage, Engine
from flyte_build.registry.errors import EngineError, RegistryError
from flyte_build.worker.drivers.about import about
from flyte_build.worker.drivers.evidence import Evidence, Trust, believed, gather, manifests_of, sign
from flyte_build.worker.drivers.installed import list_installed
from flyte_build.worker.drivers.record import Record, attach_record

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
        installed, note = self._installed(image) if self.wishes.attach else ((), "")
        evidence, why = self._evidence(image, installed)
        notes = [note, why]
        if self.wishes.attach:
            notes.append(attach_record(self.registry, image, self._record(installed), evidence))
        if self.wishes.trust.signer is not None:
            sign(self.wishes.trust.signer, self.registry, evidence)
        return notes

    def keep_part(self, image: ImageReference) -> list[str]:
        """The same for a manifest that will be a part of an image: whoever joins it says the rest."""
        installed, note = self._installed(image)
        evidence, why = self._evidence(image, installed)
        evidence = Evidence(image=image, sboms=evidence.sboms)
        notes = [note, why, attach_record(self.registry, image, Record(installed=installed), evidence)]
        signer = self.wishes.trust.signer
        if signer is not None and (statements := evidence.statements(image)):
            signer.attest(self.registry, image, statements)
        return notes

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

    def _evidence(self, image: ImageReference, installed: tuple[Installed, ...]) -> tuple[Evidence, str]:
        trust = self.wishes.trust
        if not self.wishes.attach or not (trust.sbom or trust.provenance):
            return Evidence(image=image), ""
        try:
            manifests = manifests_of(self.registry, image)
        except RegistryError as error:
            return Evidence(image=image), f"nothing is said of {image}: {error.sentence}"
        return gather(self.planned, image, (manifests, installed), (self.began, now()), trust), ""


def now() -> str:
    """RFC 3339, in UTC."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
