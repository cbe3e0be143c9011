"""What flyte-build asks a registry (OCI distribution-spec 1.1)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from flyte_build.registry.api import Api
from flyte_build.registry.auth import DELETE, PUSH
from flyte_build.registry.blobs import Blobs
from flyte_build.registry.credentials import default_credentials
from flyte_build.registry.descriptors import MANIFESTS, Descriptor, Platform
from flyte_build.registry.documents import IMAGE_CONFIGS, ImageConfig, Manifest, Pairs, decode_config
from flyte_build.registry.errors import InvalidInput, RegistryError, RegistryMissing, RegistryProtocol
from flyte_build.registry.found import Found, found
from flyte_build.registry.identity import CredentialSource
from flyte_build.registry.manifests import Manifests
from flyte_build.registry.names import Digest, ImageName, ImageReference, Repository, parse_tag
from flyte_build.registry.options import RegistryOptions, options_of
from flyte_build.registry.redirects import join
from flyte_build.registry.verify import CONFIG_LIMIT
from flyte_build.registry.wire import Request

# Entries of an index that do not say for what they are, each of which costs two requests to find out.
_MOST_UNNAMED = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged:
    """A tag that names `reference` now, and the digest that it named before (None: it is new)."""

    name: ImageName
    reference: ImageReference
    previous: Digest | None

    @property
    def moved(self) -> bool:
        """Whether the tag named something else before."""
        return self.previous not in (None, self.reference.digest)


class RegistryClient:
    """One process's view of any number of registries. Safe to share between threads; opens nothing until asked.

    Every method raises RegistryDenied, RegistryUnavailable, RegistryProtocol or RegistryUntrusted where the question
    cannot be answered, and InvalidInput for credentials or a CA bundle that cannot be read. Without `options` the
    environment's count (`options_of`). `manifests`, `blobs` and `api` are the parts it is made of, `credentials` where
    it finds out who we are.
    """

    def __init__(
        self,
        credentials: CredentialSource | None = None,
        options: RegistryOptions | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.credentials = credentials or default_credentials(environ)
        self.api = Api(self.credentials, options or options_of(environ), environ)
        self.manifests = Manifests(self.api)
        self.blobs = Blobs(self.api)

    def find(self, name: ImageName) -> Found | None:
        """What the name points at now, or None when the registry says that there is no such image."""
        manifest = self.manifests.find(name)
        if manifest is None:
            return None
        manifest = replace(manifest, manifests=self._with_platforms(name.repository, manifest.manifests))
        return found(name, manifest, self._config(name.repository, manifest))

    def resolve(self, name: ImageName, platforms: Iterable[Platform] = ()) -> Found:
        """As `find`; raises RegistryMissing when it is not there, InvalidInput when it lacks one of `platforms`."""
        image = self.find(name)
        if image is None:
            raise RegistryMissing(f"there is no image {name}", hint="check the name and the tag")
        lacking = [str(platform) for platform in platforms if not image.covers((platform,))]
        if lacking:
            offered = ", ".join(map(str, image.platforms)) or "no platform"
            raise InvalidInput(
                f"{name} is not offered for {', '.join(lacking)}",
                hint=f"it is offered for {offered}: ask for one of these",
            )
        return image

    def labels(self, image: Found) -> Pairs:
        """The labels of an image, or of the first platform of an index: what is built together is labelled alike.

        Nothing more is asked about a single image that was found; an index costs two requests.
        """
        if image.config is not None or not image.manifests:
            return image.labels
        repository = image.reference.repository
        config = self._config(repository, self.manifest(ImageReference(repository, image.manifests[0].digest)))
        return config.labels if config else ()

    def manifest(self, name: ImageName | ImageReference) -> Manifest:
        """The manifest or index with its bytes; raises RegistryMissing when it is not there."""
        return self.manifests.get(name)

    def blob(self, repository: Repository, descriptor: Descriptor, limit: int = CONFIG_LIMIT) -> bytes:
        """The content that `descriptor` names, at most `limit` bytes; raises RegistryMissing when it is not there."""
        return self.blobs.read(repository, descriptor, limit)

    def image_config(self, name: ImageName, platform: Platform) -> ImageConfig:
        """What the image starts with on `platform`: environment, user, entrypoint; raises as `resolve`."""
        image = self.resolve(name, (platform,))
        if image.config is not None:
            return image.config
        entry = next(entry for entry in image.manifests if entry.platform == platform)
        repository = name.repository
        config = self._config(repository, self.manifest(ImageReference(repository, entry.digest)))
        if config is None:
            raise RegistryProtocol(f"{name} is not an image on {platform}: it has no image configuration")
        return config

    def push_check(self, repository: Repository) -> None:
        """Proves that we may push there: opens an upload and takes it back. One round trip once we are known."""
        request = Request(method="POST", url=f"/v2/{repository.path}/blobs/uploads/", body=b"")
        response = self.api.ask(repository, request, f"cannot push to {repository}", expect=(202,), actions=PUSH)
        if location := response.header("location"):
            # An upload that is not taken back is the registry's to expire: it proves no less.
            with suppress(RegistryError):
                self.api.send(repository, Request(method="DELETE", url=join(response.url, location)), DELETE)

    def put_tag(self, reference: ImageReference, tag: str) -> Tagged:
        """Adds a tag to what is already there; says in its answer what the tag named before."""
        name = ImageName(reference.repository, parse_tag(tag))
        manifest = self.manifest(reference)
        current = self.manifests.find(name)
        previous = current.descriptor.digest if current else None
        if previous != reference.digest:
            self.manifests.put(reference.repository, manifest.body, manifest.descriptor.media_type, tag)
        return Tagged(name=name, reference=reference, previous=previous)

    def _with_platforms(self, repository: Repository, entries: tuple[Descriptor, ...]) -> tuple[Descriptor, ...]:
        """An index may leave it to the images to say for what they are (OCI image-spec: `platform` is optional)."""
        unnamed = [one for one in entries if one.platform is None and one.media_type in MANIFESTS][:_MOST_UNNAMED]
        if not unnamed:
            return entries
        known = {}
        for entry in unnamed:
            config = self._config(repository, self.manifest(ImageReference(repository, entry.digest)))
            known[entry.digest] = config.platform if config else None
        return tuple(
            replace(one, platform=known[one.digest]) if one.digest in known and one.platform is None else one
            for one in entries
        )

    def _config(self, repository: Repository, manifest: Manifest) -> ImageConfig | None:
        config = manifest.config
        if config is None or config.media_type not in IMAGE_CONFIGS:
            return None
        return decode_config(self.blob(repository, config), f"the configuration of {repository}@{config.digest}")
