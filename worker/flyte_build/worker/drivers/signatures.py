"""Signing what is said of an image, and then the image: told as steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyte_build.builder.engine import BuildEvent, step
from flyte_build.registry.parallel import in_parallel

if TYPE_CHECKING:
    from flyte_build.registry.client import RegistryClient
    from flyte_build.registry.names import ImageReference
    from flyte_build.worker.drivers.evidence import Evidence, Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Signatures:
    """Whoever signs (None: nobody does, and nothing happens), where, and who hears of it.

    The image comes last: what has a signature has all that is said of it.
    """

    signer: Signer | None
    registry: RegistryClient
    progress: Callable[[BuildEvent], None]

    def attest(self, evidence: Evidence) -> None:
        """Signs what is said of an image and of its manifests. Raises SigningError."""
        signer, said = self.signer, {one: evidence.statements(one) for one in evidence.subjects}
        subjects = [subject for subject, statements in said.items() if statements]
        if signer is None or not subjects:
            return
        with step(self.progress, f"signing {_named(evidence)}"):
            in_parallel(
                lambda subject: signer.attest(self.registry, subject, said[subject]),
                subjects,
                self.registry.api.options.parallel,
            )

    def sign(self, image: ImageReference) -> None:
        """Signs the image and, of an index, its manifests. Raises SigningError."""
        if self.signer is not None:
            with step(self.progress, "signing the image"):
                self.signer.sign(self.registry, image)


def _named(evidence: Evidence) -> str:
    bills = "bills of materials" if len(evidence.sboms) > 1 else "bill of materials"
    named = (("provenance", evidence.predicate is not None), (bills, bool(evidence.sboms)))
    return " and ".join(name for name, there in named if there)
