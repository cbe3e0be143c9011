"""What is attached to an image (OCI distribution-spec 1.1, "Listing Referrers", "Referrers tag schema")."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from flyte_build.registry.api import Api
from flyte_build.registry.descriptors import OCI_INDEX, OCI_MANIFEST, Descriptor
from flyte_build.registry.documents import Manifest, decode_manifest
from flyte_build.registry.encode import extend_index
from flyte_build.registry.errors import (
    FlyteBuildError,
    InvalidInput,
    RegistryMissing,
    RegistryProtocol,
    RegistryUnavailable,
)
from flyte_build.registry.failures import is_page
from flyte_build.registry.manifests import Manifests, Put
from flyte_build.registry.names import ImageName, ImageReference
from flyte_build.registry.parallel import in_parallel
from flyte_build.registry.verify import MANIFEST_LIMIT, bounded, digest_of
from flyte_build.registry.wire import Request

# Registries answer these for a route that they do not have.
_UNKNOWN_ROUTE = frozenset({400, 404, 405, 501})
_FALLBACK_ATTEMPTS = 5
_MOST = 10_000


def fallback_tag(reference: ImageReference) -> str:
    """The tag under which a registry without the referrers API keeps the list: `sha256-<64 hex>`."""
    return f"{reference.digest.algorithm}-{reference.digest.hex}"[:128]


def signature_tag(reference: ImageReference) -> str:
    """Where cosign keeps the signatures of a manifest (sigstore/cosign, "SIGNATURE_SPEC.md")."""
    return f"{fallback_tag(reference)}.sig"


def attestation_tag(reference: ImageReference) -> str:
    """Where cosign keeps what is signed about a manifest (sigstore/cosign, "ATTESTATION_SPEC.md")."""
    return f"{fallback_tag(reference)}.att"


def tags_about(reference: ImageReference) -> tuple[str, ...]:
    """Every tag that is about a manifest: the list of what is attached to it, and cosign's."""
    listed = fallback_tag(reference)
    return (listed, signature_tag(reference), attestation_tag(reference), f"{listed}.sbom")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What is attached to an image. `unlisted`: why nobody can say, empty when that is all."""

    entries: tuple[Descriptor, ...] = ()
    unlisted: str = ""


class Referrers:
    """Lists what refers to an image, and attaches to it, also where the registry knows nothing of that."""

    def __init__(self, api: Api, manifests: Manifests) -> None:
        self._api = api
        self._manifests = manifests

    def list(self, reference: ImageReference, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """Everything attached to the image, of one type unless that is empty; sorted by digest.

        An image that is not there has nothing attached to it.
        """
        found = self._by_api(reference)
        if found is None:
            index = self._manifests.find(ImageName(reference.repository, fallback_tag(reference)))
            found = index.manifests if index is not None and index.is_index else ()
        unique = {one.digest: one for one in found if not artifact_type or one.artifact_type == artifact_type}
        return tuple(unique[digest] for digest in sorted(unique))

    def read(self, reference: ImageReference, artifact_type: str = "") -> Listed:
        """As `list`, where a list that cannot be read is an answer: whoever may push can write it.

        Raises RegistryUnavailable when nobody answers.
        """
        try:
            return Listed(entries=self.list(reference, artifact_type))
        except RegistryUnavailable:
            raise
        except FlyteBuildError as error:
            return Listed(unlisted=error.sentence)

    def attach(self, reference: ImageReference, body: bytes) -> ImageReference:
        """As `attach_all`, for one manifest."""
        return self.attach_all(reference, (body,))[0]

    def attach_all(self, reference: ImageReference, bodies: Sequence[bytes]) -> tuple[ImageReference, ...]:
        """Stores manifests whose `subject` is the image, and sees to it that they are listed. Safe to repeat.

        Their blobs must be there. Raises InvalidInput when a subject is another one, RegistryUnavailable when others
        keep changing the list of a registry without the referrers API.
        """
        manifests = [decode_manifest(body, OCI_MANIFEST, digest_of(body), "the manifest to attach") for body in bodies]
        if any(one.subject is None or one.subject.digest != reference.digest for one in manifests):
            raise InvalidInput(f"the manifest to attach is not about {reference}")

        def put(manifest: Manifest) -> Put:
            return self._manifests.put(reference.repository, manifest.body, manifest.descriptor.media_type)

        stored = in_parallel(put, manifests, self._api.options.parallel)
        # A registry without the API keeps the list in one document: one change of it for all, because changes collide.
        unlisted = [one for one, known in zip(manifests, stored, strict=True) if known.subject != str(reference.digest)]
        if unlisted:
            self._list_by_tag(reference, [_described(manifest) for manifest in unlisted])
        return tuple(known.reference for known in stored)

    def _by_api(self, reference: ImageReference) -> tuple[Descriptor, ...] | None:
        """None where the registry has no such API."""
        repository = reference.repository
        subject = f"what refers to {reference}"
        request = Request(
            method="GET",
            url=f"/v2/{repository.path}/referrers/{reference.digest}",
            headers=(("accept", OCI_INDEX),),
            read=bounded(MANIFEST_LIMIT, subject),
        )
        first = self._api.send(repository, request)
        if first.status in _UNKNOWN_ROUTE or (first.status == 200 and is_page(first)):
            return None
        if first.status != 200:
            raise self._api.refusal(f"cannot list {subject}", repository, first)
        found: list[Descriptor] = []
        for page in self._api.pages(repository, request, f"cannot list {subject}", first):
            index = decode_manifest(page.body, OCI_INDEX, digest_of(page.body), subject)
            found.extend(index.manifests)
            if len(found) > _MOST:
                raise RegistryProtocol(f"{subject} is more than {_MOST:,} artifacts")
        return tuple(found)

    def _list_by_tag(self, reference: ImageReference, entries: Sequence[Descriptor]) -> None:
        """Reads, adds, writes, and looks whether it lasted: a registry has no way to do that in one."""
        name = ImageName(reference.repository, fallback_tag(reference))
        refused: RegistryMissing | None = None
        for attempt in range(_FALLBACK_ATTEMPTS):
            current = self._manifests.find(name)
            missing = _missing(current, entries)
            if not missing:
                return
            body = current.body if current is not None and current.is_index else b""
            for entry in missing:
                body = extend_index(body, entry)
            refused = self._refused(reference, body)
            # Somebody who read before we wrote overwrites us a moment later.
            time.sleep(self._api.options.backoff * attempt)
        if _missing(self._manifests.find(name), entries):
            raise refused or RegistryUnavailable(
                f"cannot attach to {reference}: others keep changing what is attached to it"
            )

    def _refused(self, reference: ImageReference, listed: bytes) -> RegistryMissing | None:
        """Writes the list. What it names was stored a moment ago: a registry that misses it (distribution 2, while
        another client stores the same) has it at the next attempt.
        """
        try:
            self._manifests.put(reference.repository, listed, OCI_INDEX, fallback_tag(reference))
        except RegistryMissing as error:
            return error
        return None


def _missing(index: Manifest | None, entries: Sequence[Descriptor]) -> list[Descriptor]:
    listed = {one.digest for one in index.manifests} if index is not None else set()
    return [entry for entry in entries if entry.digest not in listed]


def _described(manifest: Manifest) -> Descriptor:
    """How an index lists it: its type is its own, or else its configuration's."""
    return Descriptor(
        media_type=manifest.descriptor.media_type,
        digest=manifest.descriptor.digest,
        size=manifest.descriptor.size,
        artifact_type=manifest.artifact_type or (manifest.config.media_type if manifest.config else ""),
        annotations=manifest.annotations,
    )
