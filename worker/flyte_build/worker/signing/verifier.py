"""Asking whose signatures an image has, by cosign."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyte_build.registry.errors import SigningError
from flyte_build.worker.signing import argv

if TYPE_CHECKING:
    from flyte_build.registry.client import RegistryClient
    from flyte_build.registry.names import ImageReference
    from flyte_build.worker.signing.cosign import Cosign, Ran

# Exit codes of cosign 2 and 3 (cmd/cosign/errors): no signature at all, none that counts.
_UNSIGNED = frozenset({10, 11, 12})
# What cosign says when the transparency log, or what tells whose log to trust, does not answer.
_LOG = ("Rekor", "rekor.", "TUF", "tuf-repo")
_UNATTESTED = ("no matching attestations", "none of the attestations matched", "no attestations found")


@dataclass(frozen=True, slots=True)
class Verifier:
    """Asks cosign whose signatures an image has."""

    trusted: argv.Trusted
    cosign: Cosign

    def signed(self, registry: RegistryClient, image: ImageReference) -> str:
        """Empty when a signature of the image counts, else why none does. Raises SigningError when nobody can say."""
        ran = self._ask(registry, image, argv.verify_argv(self.trusted, image, self.cosign.place(registry, image)))
        if ran.code == 0:
            return ""
        if ran.code in _UNSIGNED:
            return ran.said
        raise SigningError(f"cosign cannot say whether {image} is signed: {ran.said}", hint=_hint(ran.said))

    def attested(self, registry: RegistryClient, image: ImageReference, kind: str) -> list[bytes]:
        """The signed statements of a kind about the image, none where no signature counts; SigningError as `signed`."""
        place = self.cosign.place(registry, image)
        ran = self._ask(registry, image, argv.verify_attestation_argv(self.trusted, image, kind, place))
        if ran.code == 0:
            envelopes = [json.loads(line) for line in ran.out.splitlines() if line.startswith(b"{")]
            return [base64.b64decode(envelope["payload"]) for envelope in envelopes]
        if ran.code in _UNSIGNED or any(words in ran.said for words in _UNATTESTED):
            return []
        raise SigningError(f"cosign cannot say what is signed about {image}: {ran.said}", hint=_hint(ran.said))

    def _ask(self, registry: RegistryClient, image: ImageReference, command: tuple[str, ...]) -> Ran:
        with self.cosign.known_to(registry, image) as environment:
            return self.cosign.run(command, environment)


def is_of_log(said: str) -> bool:
    """Whether it is the transparency log that cosign failed with."""
    return any(word in said for word in _LOG)


def _hint(said: str) -> str:
    if is_of_log(said):
        return "signatures that were made with --no-tlog are verified with --no-tlog; the others need the internet"
    return ""
