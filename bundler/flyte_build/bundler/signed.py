"""Signed uploads as Flyte 2 has them: `flyteidl2.dataproxy.DataProxyService/CreateUploadLocation`, then one PUT.

The call is Connect's unary JSON (Connect protocol, "Unary-Request"), which every Connect server speaks. Our own
endpoint says more in headers: that it has the bytes, and that it takes a large archive in parts (`parts`).
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from flyte_build.bundler.answers import PARTS_HEADER, code_of, location_of, refused
from flyte_build.bundler.endpoint import Endpoint
from flyte_build.bundler.parts import Part, parts_of, put_parts
from flyte_build.bundler.upload import Location, Parcel
from flyte_build.bundler.watched import Watched
from flyte_build.bundler.wire import Answer, Body, Request
from flyte_build.registry.errors import ServiceUnavailable, UploadError

_METHOD = "/flyteidl2.dataproxy.DataProxyService/CreateUploadLocation"
# The longest that Flyte signs for.
_EXPIRES = "3600s"

_UNREACHED = (
    "the endpoint sent us there: check that this machine reaches it; `flyte-build serve` names another address of "
    "itself by --public-url"
)


class Sender(Protocol):
    """What carries a request, `wire.Wire` outside of tests."""

    def send(self, request: Request) -> Answer: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What a place is asked for. `parts`: the endpoint may join this many to make it, if they are all there."""

    root: str
    filename: str
    md5: bytes
    size: int
    parts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedUploads:
    """An uploader to the store behind a Flyte endpoint, for one project and domain.

    `sent` is told of every piece that goes out, in bytes (negative when it goes out again). Archives of more than
    two parts go in parts of `part_bytes`, if the endpoint joins them. `token` may tell it anew for every call.
    """

    endpoint: Endpoint
    project: str
    domain: str
    wire: Sender
    sent: Callable[[int], None] = field(default=lambda _: None)
    part_bytes: int = 16 << 20
    token: str | Callable[[], str] = field(default="", repr=False)

    def locate(self, parcel: Parcel) -> Location:
        """Ask for a signed URL, named by the manifest's digest so that equal bundles share one key.

        Raises ServiceDenied, ServiceUnavailable or ServiceError with what the endpoint said.
        """
        wanted = _Wanted(root=parcel.digest.hex, filename=parcel.filename, md5=parcel.md5, size=parcel.archive_size)
        answer = self._ask(wanted)
        if code_of(answer) == "already_exists":
            # Another compressor made other bytes of the same manifest: let the store name these by their MD5.
            answer = self._ask(replace(wanted, root=""))
        return location_of(self.endpoint, answer)

    def put(self, parcel: Parcel, archive: Path, location: Location) -> str:
        """The archive in parts where that is possible, else in one PUT. Raises UploadError; never shows the URL."""
        if not (location.joins and self._put_parts(parcel, archive)):
            self._send(location, parcel.md5, parcel.archive_size, lambda: Watched(archive.open("rb"), self.sent))
        return location.uri

    def _put_parts(self, parcel: Parcel, archive: Path) -> bool:
        """Whether the archive is in its place now. Parts that an earlier attempt brought are not sent again."""
        parts = parts_of(parcel, archive, self.part_bytes)
        if len(parts) < 3:
            return False
        put_parts(parts, self._put_part)
        whole = _Wanted(
            root=parcel.digest.hex,
            filename=parcel.filename,
            md5=parcel.md5,
            size=parcel.archive_size,
            parts=len(parts),
        )
        return location_of(self.endpoint, self._ask(whole)).exists

    def _put_part(self, part: Part) -> None:
        wanted = _Wanted(root=part.root, filename=part.filename, md5=part.md5, size=part.size)
        place = location_of(self.endpoint, self._ask(wanted))
        if place.exists:
            self.sent(part.size)
        else:
            self._send(place, part.md5, part.size, lambda: Watched(io.BytesIO(part.read()), self.sent))

    def _ask(self, wanted: _Wanted) -> Answer:
        message = {
            "project": self.project,
            "domain": self.domain,
            "contentMd5": base64.b64encode(wanted.md5).decode(),
            "contentLength": str(wanted.size),
            "filename": wanted.filename,
            "filenameRoot": wanted.root,
            "expiresIn": _EXPIRES,
            "addContentMd5Metadata": True,
        }
        body = json.dumps(message).encode()
        token = self.token() if callable(self.token) else self.token
        headers = {
            "content-type": "application/json",
            "connect-protocol-version": "1",
            "accept-encoding": "identity",
            PARTS_HEADER: str(wanted.parts),
            **({"authorization": f"Bearer {token}"} if token else {}),
        }
        url = f"{self.endpoint}{_METHOD}"
        try:
            return self.wire.send(Request(method="POST", url=url, headers=headers, body=lambda: io.BytesIO(body)))
        except UploadError as error:
            hint = "check --endpoint and that it is up; a plain http endpoint needs --insecure or http://"
            raise ServiceUnavailable(error.sentence, hint=hint) from error

    def _send(self, place: Location, md5: bytes, size: int, body: Callable[[], Body]) -> None:
        blob = {"x-ms-blob-type": "BlockBlob"} if place.uri.startswith(("abfs://", "abfss://")) else {}
        put_signed(self.wire, place.signed_url, {**dict(place.headers), **blob}, md5, size, body)


def put_signed(
    wire: Sender, url: str, headers: Mapping[str, str], md5: bytes, size: int, body: Callable[[], Body]
) -> None:
    """One PUT to a signed URL. Raises UploadError; never shows the URL."""
    stated = {"Content-Length": str(size), "Content-MD5": base64.b64encode(md5).decode()}
    request = Request(method="PUT", url=url, headers={**headers, **stated}, body=body)
    try:
        answer = wire.send(request)
    except UploadError as error:
        raise UploadError(error.sentence, hint=_UNREACHED) from error
    if answer.status not in (200, 201, 204):
        raise refused(request, answer)
