"""Manifests, indexes and tags (OCI distribution-spec 1.1, "Pulling", "Pushing", "Content discovery", "Management")."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from flyte_build.registry.api import Api
from flyte_build.registry.auth import DELETE, PUSH
from flyte_build.registry.descriptors import INDEXES, MANIFESTS
from flyte_build.registry.documents import Manifest, decode_manifest
from flyte_build.registry.errors import InvalidName, RegistryMissing, RegistryProtocol
from flyte_build.registry.failures import is_absent, is_page
from flyte_build.registry.names import Digest, ImageName, ImageReference, Repository, parse_tag
from flyte_build.registry.redact import plain
from flyte_build.registry.verify import MANIFEST_LIMIT, bounded, digest_of
from flyte_build.registry.wire import Request, Response

_ACCEPT = ("accept", ", ".join(sorted(INDEXES | MANIFESTS)))
_PAGE = 1000
# More than this is a registry that never stops.
_MOST_TAGS = 1_000_000
_TAGS_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """What was stored. `subject` is what the registry filed it under as a referrer, empty if it did not."""

    reference: ImageReference
    subject: str = ""


class Manifests:
    """Reads, writes and deletes; every answer is what the bytes say, not what a header says."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def find(self, name: ImageName) -> Manifest | None:
        """What the name points at; None when the registry says truthfully that there is no such thing."""
        subject = str(name)
        request = Request(
            method="GET",
            url=_path(name.repository, name.identifier),
            headers=(_ACCEPT,),
            read=bounded(MANIFEST_LIMIT, subject),
        )
        response = self._api.send(name.repository, request)
        if response.status == 404 and is_absent(response):
            return None
        if response.status != 200 or is_page(response):
            raise self._api.refusal(f"cannot read {subject}", name.repository, response)
        digest = _proven(response, name)
        return decode_manifest(response.body, response.header("content-type"), digest, subject)

    def get(self, name: ImageName | ImageReference) -> Manifest:
        """As `find`; raises RegistryMissing when it is not there."""
        name = name if isinstance(name, ImageName) else ImageName(name.repository, digest=name.digest)
        manifest = self.find(name)
        if manifest is None:
            raise RegistryMissing(f"there is no manifest {name}", hint="check the name and the tag")
        return manifest

    def put(self, repository: Repository, body: bytes, media_type: str, tag: str = "") -> Put:
        """Stores the bytes under their digest, and under `tag` unless it is empty. Everything they name must be
        there: a registry refuses a tag for something incomplete (RegistryMissing).
        """
        digest = digest_of(body)
        subject = f"{repository}{f':{parse_tag(tag)}' if tag else f'@{digest}'}"
        request = Request(
            method="PUT",
            url=_path(repository, tag or str(digest)),
            headers=(("content-type", media_type),),
            body=body,
            repeatable=True,
        )
        response = self._api.ask(repository, request, f"cannot push {subject}", expect=(201,), actions=PUSH)
        stated = response.header("docker-content-digest")
        if stated and stated.strip() != str(digest):
            raise RegistryProtocol(f"{repository.registry} stored {subject} as {plain(stated, 80)}, not as {digest}")
        return Put(reference=ImageReference(repository, digest), subject=response.header("oci-subject").strip())

    def delete(self, reference: ImageReference) -> bool:
        """Removes the manifest with every tag that names it; False when it was not there.

        Raises RegistryDenied for a registry that does not delete.
        """
        return self._delete(reference.repository, str(reference.digest), str(reference))

    def untag(self, name: ImageName) -> bool:
        """Removes one tag and nothing else; False when it was not there. Some registries (distribution 2) cannot:
        RegistryDenied.
        """
        return self._delete(name.repository, name.identifier, str(name))

    def tags(self, repository: Repository) -> Iterator[str]:
        """Every tag, in the registry's order, a thousand for each request; none for a repository that is not there."""
        request = Request(
            method="GET",
            url=f"/v2/{repository.path}/tags/list?n={_PAGE}",
            read=bounded(_TAGS_LIMIT, f"the tags of {repository}"),
        )
        seen: set[str] = set()
        try:
            for page in self._api.pages(repository, request, f"cannot list the tags of {repository}"):
                fresh = [tag for tag in _tags(page, repository) if tag not in seen]
                seen.update(fresh)
                if len(seen) > _MOST_TAGS:
                    raise RegistryProtocol(f"{repository} has more than {_MOST_TAGS:,} tags")
                yield from fresh
        except RegistryMissing:
            if seen:
                raise

    def require_repository(self, repository: Repository) -> None:
        """Raises RegistryMissing when the registry says that there is no such repository."""
        request = Request(
            method="GET",
            url=f"/v2/{repository.path}/tags/list?n=1",
            read=bounded(_TAGS_LIMIT, f"the tags of {repository}"),
        )
        if is_absent(self._api.send(repository, request)):
            raise RegistryMissing(
                f"there is no repository {repository}", hint="check the name: it ends with the image's own, like train"
            )

    def _delete(self, repository: Repository, identifier: str, subject: str) -> bool:
        request = Request(method="DELETE", url=_path(repository, identifier), repeatable=True)
        response = self._api.send(repository, request, DELETE)
        if response.status == 404 and is_absent(response):
            return False
        if response.status not in (200, 202, 204):
            raise self._api.refusal(f"cannot delete {subject}", repository, response)
        return True


def _path(repository: Repository, identifier: str) -> str:
    return f"/v2/{repository.path}/manifests/{identifier}"


def _tags(page: Response, repository: Repository) -> tuple[str, ...]:
    try:
        tags = json.loads(page.body)["tags"]
    except (ValueError, RecursionError, KeyError, TypeError):
        tags = 0
    if tags is None:
        return ()
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise RegistryProtocol(f"{repository.registry} answered with something that is no list of tags")
    try:
        return tuple(parse_tag(tag) for tag in tags)
    except InvalidName as error:
        raise RegistryProtocol(f"{repository} has a tag that is none: {error}") from error


def _proven(response: Response, name: ImageName) -> Digest:
    """The digest of the bytes that came, which must be what was asked for and what the registry says they are."""
    stated = response.header("docker-content-digest")
    try:
        expected = name.digest or (Digest.parse(stated) if stated else None)
    except InvalidName as error:
        raise RegistryProtocol(f"the digest that was stated for {name} is not one: {plain(stated, 80)}") from error
    digest = digest_of(response.body, expected.algorithm if expected else "sha256")
    if digest != (expected or digest):
        raise RegistryProtocol(
            f"the content of {name} has the digest {digest}, not {expected}",
            hint="the registry, or a proxy before it, serves damaged or altered content; push the image again",
        )
    return digest
