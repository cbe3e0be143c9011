"""Signing what was built: a key or an identity, by cosign."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flyte_build.registry.errors import SigningError
from flyte_build.registry.names import ImageName
from flyte_build.registry.referrers import signature_tag
from flyte_build.worker.signing import argv
from flyte_build.worker.signing.verifier import Verifier, is_of_log

if TYPE_CHECKING:
    from flyte_build.registry.client import RegistryClient
    from flyte_build.registry.names import ImageReference
    from flyte_build.worker.signing.cosign import Cosign

_AGAIN = "the image is whole; the same command again builds from the cache and signs"
_WITHOUT_LOG = "; where the transparency log cannot be reached, add --no-tlog"


@dataclass(frozen=True, slots=True)
class CosignSigner:
    """Signs images with one key, or as whoever runs this."""

    how: argv.Signing
    cosign: Cosign
    _public: list[bytes] = field(default_factory=list, repr=False)

    def ready(self) -> None:
        """Proves, before anything is built, that there is a cosign and that it can use the key (SigningError)."""
        self.cosign.require()
        if not self.how.is_keyless:
            self._public_key()

    def signed(self, registry: RegistryClient, image: ImageReference) -> bool:
        """Whether our key signed the image. What is signed keyless has a signature: whose, its verifiers ask."""
        if self.how.is_keyless:
            return registry.manifests.find(ImageName(image.repository, signature_tag(image))) is not None
        with self.trusted() as trusted:
            return Verifier(trusted, self.cosign).signed(registry, image) == ""

    def attested(self, registry: RegistryClient, image: ImageReference, kind: str) -> list[bytes] | None:
        """The statements of a kind about the image that our key signed; None of what is keyless."""
        if self.how.is_keyless:
            return None
        with self.trusted() as trusted:
            return Verifier(trusted, self.cosign).attested(registry, image, kind)

    @contextmanager
    def trusted(self) -> Iterator[argv.Trusted]:
        """Our own key as one whose signatures count. Not for what is keyless."""
        with tempfile.TemporaryDirectory(prefix="flyte-build-key-") as folder:
            file = Path(folder, "cosign.pub")
            file.write_bytes(self._public_key())
            yield argv.Trusted(key=str(file), tlog=self.how.tlog)

    def sign(self, registry: RegistryClient, image: ImageReference) -> None:
        """Signs the image and, of an index, its manifests. Raises SigningError."""
        place = self.cosign.place(registry, image)
        self._do(registry, image, argv.sign_argv(self.how, image, place))

    def attest(self, registry: RegistryClient, image: ImageReference, statements: Mapping[str, bytes]) -> None:
        """Signs that each of these predicates, by cosign's names of their kinds, is true of the image."""
        place = self.cosign.place(registry, image)
        with tempfile.TemporaryDirectory(prefix="flyte-build-attest-") as folder:
            for kind, predicate in statements.items():
                file = Path(folder, f"{kind}.json")
                file.write_bytes(predicate)
                self._do(registry, image, argv.attest_argv(self.how, image, kind, str(file), place))

    def _do(self, registry: RegistryClient, image: ImageReference, command: tuple[str, ...]) -> None:
        with self.cosign.known_to(registry, image) as environment:
            ran = self.cosign.run(command, environment)
        if ran.code != 0:
            raise SigningError(
                f"{image} was pushed and is not signed: cosign {command[1]} says: {ran.said}",
                hint=self._way_out(ran.said),
            )

    def _way_out(self, said: str) -> str:
        # Who signs as whoever runs this needs the log: the certificate ends within minutes.
        may_do_without = self.how.tlog and not self.how.is_keyless
        return _AGAIN + (_WITHOUT_LOG if may_do_without and is_of_log(said) else "")

    def _public_key(self) -> bytes:
        if not self._public:
            self._public.append(self._read_public_key())
        return self._public[0]

    def _read_public_key(self) -> bytes:
        if self.how.is_file and not Path(self.how.key).is_file():
            raise SigningError(
                f"there is no key {self.how.key} to sign with", hint="make one: cosign generate-key-pair"
            )
        with tempfile.TemporaryDirectory(prefix="flyte-build-key-") as folder:
            file = Path(folder, "cosign.pub")
            ran = self.cosign.run(argv.public_key_argv(self.how, str(file)))
            if ran.code == 0:
                return file.read_bytes()
        if "decrypt" not in ran.said:
            raise SigningError(f"cosign cannot use the key {self.how.key}: {ran.said}")
        # A key may have been made with an empty password, which is tried.
        wrong = "is wrong" if self.cosign.knows_password else "is not set, and it has one"
        raise SigningError(
            f"the password of the key {self.how.key} {wrong}",
            hint="set COSIGN_PASSWORD to the password that it was made with",
        )
