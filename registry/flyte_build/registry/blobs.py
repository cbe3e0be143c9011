"""Blobs: is it there, read it, take it to a file (OCI distribution-spec 1.1, "Pulling blobs")."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flyte_build.registry.api import Api
from flyte_build.registry.descriptors import Descriptor
from flyte_build.registry.errors import RegistryError, RegistryMissing
from flyte_build.registry.failures import TEMPORARY, is_absent
from flyte_build.registry.names import Digest, Repository
from flyte_build.registry.retry import Pauses
from flyte_build.registry.verify import CONFIG_LIMIT, verified
from flyte_build.registry.wire import Request, Response

if TYPE_CHECKING:
    from flyte_build.registry.download import Download
    from flyte_build.registry.progress import Progress


class Blobs:
    """Content by its digest."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def exists(self, repository: Repository, digest: Digest) -> bool:
        """Whether the registry has it in this repository. What it says it has is verified by whoever reads it."""
        response = self._api.send(repository, Request(method="HEAD", url=_path(repository, digest)))
        if response.status == 404:
            return False
        if response.status != 200:
            raise self._api.refusal(f"cannot look for the blob {repository}@{digest}", repository, response)
        return True

    def read(self, repository: Repository, descriptor: Descriptor, limit: int = CONFIG_LIMIT) -> bytes:
        """The content that `descriptor` names, at most `limit` bytes; raises RegistryMissing when it is not there."""
        subject = f"{repository}@{descriptor.digest}"
        request = Request(
            method="GET", url=_path(repository, descriptor.digest), read=verified(descriptor, limit, subject)
        )
        return self._api.ask(repository, request, f"cannot read the blob {subject}", expect=(200,)).body

    def fetch(
        self, repository: Repository, descriptor: Descriptor, path: Path, progress: Progress | None = None
    ) -> None:
        """Takes the content to `path`, verified while it streams; goes on where a broken connection stopped.

        `path` appears when everything is there and right, never before. Raises RegistryMissing when it is not there,
        RegistryProtocol for other content, and what the last attempt raised.
        """
        # Whoever only asks whether an image exists has no use for it.
        from flyte_build.registry.download import Download
        from flyte_build.registry.progress import silent

        subject = f"{repository}@{descriptor.digest}"
        with Download(path, descriptor, subject, progress or silent) as download:
            pauses = Pauses(self._api.options)
            while not download.complete:
                try:
                    response: Response | None = self._part(repository, descriptor, download)
                except RegistryError as error:
                    if not error.transient or not pauses.wait(download.done, error):
                        raise
                    continue
                if response is not None:
                    refused = self._api.refusal(f"cannot read the blob {subject}", repository, response)
                    if not pauses.wait(download.done, refused, response.header("retry-after")):
                        raise refused

    def _part(self, repository: Repository, descriptor: Descriptor, download: Download) -> Response | None:
        """None when content came; the answer when it says later; an error for everything else."""
        request = Request(
            method="GET",
            url=_path(repository, descriptor.digest),
            read=download.take,
            start=download.done,
            timeout=self._api.options.time_for(descriptor.size),
            repeatable=False,
        )
        response = self._api.send(repository, request)
        if response.status in (200, 206):
            download.finish()
            return None
        if response.status in TEMPORARY:
            return response
        action = f"cannot read the blob {download.subject}"
        if response.status == 404 and is_absent(response):
            raise RegistryMissing(f"{action}: it is not there", hint="push the image again")
        raise self._api.refusal(action, repository, response)


def _path(repository: Repository, digest: Digest) -> str:
    return f"/v2/{repository.path}/blobs/{digest}"
