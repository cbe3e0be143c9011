"""Blobs to a registry: mounted, in one piece, or in pieces that go on where they broke off.

OCI distribution-spec 1.1, "Pushing blobs": POST then PUT, "Pushing a blob in chunks", "Mounting a blob from another
repository".
"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlencode

from flyte_build.registry.api import Api
from flyte_build.registry.auth import PUSH
from flyte_build.registry.blob import Blob
from flyte_build.registry.blobs import Blobs
from flyte_build.registry.errors import RegistryDenied, RegistryError, RegistryProtocol, RegistryUnavailable
from flyte_build.registry.failures import TEMPORARY
from flyte_build.registry.names import Repository
from flyte_build.registry.progress import Progress, silent
from flyte_build.registry.redact import plain
from flyte_build.registry.redirects import join
from flyte_build.registry.retry import Pauses
from flyte_build.registry.sending import Again, OnlyWhole, Sending
from flyte_build.registry.wire import Request, Response, Streamed

Arrived = Literal["there", "mounted", "sent"]
_OCTETS = ("content-type", "application/octet-stream")
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,18})")
# What registries answer to a first piece when they take blobs only whole.
_NO_PIECES = frozenset({400, 404, 405, 411, 413, 415, 501})
# The upload is not there any more, or not where we think it is.
_LOST = frozenset({404, 416})


class Uploads:
    """Puts blobs where they are missing."""

    def __init__(self, api: Api, blobs: Blobs) -> None:
        self._api = api
        self._blobs = blobs

    def push(
        self, repository: Repository, blob: Blob, mount: Repository | None = None, progress: Progress = silent
    ) -> Arrived:
        """Makes sure that `repository` has the blob; `mount` is a repository of the same registry that may have it.

        Goes on after what passes. Raises RegistryDenied, RegistryUnavailable after the last attempt, RegistryProtocol
        when the registry received other bytes than the descriptor says, InvalidInput for content that is not there.
        """
        sending = Sending(repository, blob, progress, self._api.options.chunk)
        arrived: Arrived = "sent"
        if self._blobs.exists(repository, blob.descriptor.digest):
            arrived = "there"
        elif mount is not None and mount != repository and self._mount(sending, mount):
            arrived = "mounted"
        else:
            self._send(sending)
        sending.moved(sending.total)
        return arrived

    def _mount(self, sending: Sending, source: Repository) -> bool:
        """True if the registry has it now. A registry that does not mount opens an upload instead: used as such."""
        query = urlencode({"mount": str(sending.blob.descriptor.digest), "from": source.path})
        url = f"/v2/{sending.repository.path}/blobs/uploads/?{query}"
        request = Request(method="POST", url=url, body=b"", repeatable=True)
        try:
            response = self._api.send(sending.repository, request, PUSH, source)
        except RegistryDenied:
            return False
        if response.status == 202:
            self._moved_to(sending, response)
        return response.status == 201

    def _send(self, sending: Sending) -> None:
        pauses = Pauses(self._api.options)
        while True:
            try:
                if not sending.location:
                    self._open(sending)
                if sending.is_whole:
                    self._close(sending, sending.streamed(0, sending.total))
                else:
                    self._pieces(sending)
            except OnlyWhole:
                sending.restart(chunk=sending.total)
            except Again as again:
                if not pauses.wait(sending.done, again.error, again.retry_after):
                    raise again.error from again.__cause__
                # The answer may be all that was lost.
                if self._blobs.exists(sending.repository, sending.blob.descriptor.digest):
                    return
                self._recover(sending)
            else:
                return

    def _open(self, sending: Sending) -> None:
        url = f"/v2/{sending.repository.path}/blobs/uploads/"
        request = Request(method="POST", url=url, body=b"", repeatable=True)
        response = self._api.ask(sending.repository, request, sending.action, expect=(202,), actions=PUSH)
        least = response.header("oci-chunk-min-length")
        if least.isdecimal():
            sending.chunk = max(sending.chunk, int(least[:12]))
        self._moved_to(sending, response)

    def _pieces(self, sending: Sending) -> None:
        while sending.done < sending.total:
            size = min(sending.chunk, sending.total - sending.done)
            stated = ("content-range", f"{sending.done}-{sending.done + size - 1}")
            response = self._change(sending, "PATCH", sending.location, sending.streamed(sending.done, size), stated)
            if response.status in _NO_PIECES and not sending.done:
                raise OnlyWhole
            if response.status != 202:
                raise self._refused(sending, response)
            self._moved_to(sending, response)
            sending.moved(_reached(response, sending.done + size, sending))
        self._close(sending, None)

    def _close(self, sending: Sending, body: Streamed | None) -> None:
        digest = str(sending.blob.descriptor.digest)
        separator = "&" if "?" in sending.location else "?"
        url = f"{sending.location}{separator}{urlencode({'digest': digest})}"
        response = self._change(sending, "PUT", url, body or b"")
        if response.status not in (201, 204):
            raise self._refused(sending, response)
        stated = response.header("docker-content-digest").strip()
        if stated and stated != digest:
            raise RegistryProtocol(f"{sending.action}: the registry received {plain(stated, 80)}")

    def _recover(self, sending: Sending) -> None:
        """Finds out how far the upload is; from the start where that cannot be told."""
        where = sending.location
        if sending.is_whole or not where:
            sending.restart()
            return
        try:
            response = self._api.send(sending.repository, Request(method="GET", url=where), PUSH)
        except RegistryError:
            sending.restart()
            return
        if response.status != 204:
            sending.restart()
            return
        if response.header("location"):
            self._moved_to(sending, response)
        sending.moved(_reached(response, 0, sending))

    def _change(
        self, sending: Sending, method: str, url: str, body: Streamed | bytes, *headers: tuple[str, str]
    ) -> Response:
        """Sends once; raises Again for what may work out another time."""
        timeout = self._api.options.time_for(sending.total)
        request = Request(method=method, url=url, headers=(_OCTETS, *headers), body=body, timeout=timeout)
        try:
            response = self._api.send(sending.repository, request, PUSH)
        except RegistryUnavailable as error:
            raise Again(error) from error
        if response.status in TEMPORARY or (response.status in _LOST and (sending.done or sending.is_whole)):
            raise Again(self._refused(sending, response), response)
        return response

    def _refused(self, sending: Sending, response: Response) -> RegistryError:
        return self._api.refusal(sending.action, sending.repository, response)

    def _moved_to(self, sending: Sending, response: Response) -> None:
        location = response.header("location")
        if not location:
            raise RegistryProtocol(f"{sending.action}: {sending.repository.registry} did not say where to send it")
        sending.location = join(response.url, location)


def _reached(response: Response, otherwise: int, sending: Sending) -> int:
    """How many bytes the registry says it has (`Range: 0-<last>`; `0-0` is also what some say of nothing)."""
    stated = _RANGE.fullmatch(response.header("range").strip())
    if stated is None:
        return otherwise
    last = int(stated.group(1))
    if last >= sending.total:
        raise RegistryProtocol(f"{sending.action}: {sending.repository.registry} has more bytes than were sent")
    return last + 1 if last else 0
