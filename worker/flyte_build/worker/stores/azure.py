"""Azure Blob Storage: URLs with a service SAS, signed by an account key (Microsoft, "Create a service SAS").

A SAS binds permission, blob and expiry, but no MD5 and no size: whoever holds a PUT's URL may bring other content until
it expires, which readers notice by their digests. The store checks the Content-MD5 that comes with the PUT.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from flyte_build.registry.errors import InvalidInput
from flyte_build.worker.stores import xml
from flyte_build.worker.stores.http import SignedRequest
from flyte_build.worker.stores.signer import Content, Listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_VERSION = "2020-12-06"
_PERMISSIONS = {"GET": "r", "HEAD": "r", "DELETE": "d", "PUT": "cw"}
# A clock that is a little behind must not make a URL that is not valid yet; leaving the start out is always valid.
_START = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureAccount:
    """A storage account and its key; `endpoint` is its blob service, `https://<account>.blob.core.windows.net`."""

    name: str
    key: bytes = field(repr=False)
    endpoint: str

    @classmethod
    def of_environment(cls, environ: Mapping[str, str], account: str) -> AzureAccount:
        """From AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_KEY. Raises InvalidInput, which names no key."""
        text = environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
        fields = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
        key = fields.get("AccountKey") or environ.get("AZURE_STORAGE_KEY", "")
        name = fields.get("AccountName") or account
        try:
            secret = base64.b64decode(key, validate=True)
        except binascii.Error:
            secret = b""
        if not secret or name != account:
            raise InvalidInput(
                f"there is no key for the storage account {account}",
                hint="set AZURE_STORAGE_KEY, or AZURE_STORAGE_CONNECTION_STRING of this account",
            )
        suffix = fields.get("EndpointSuffix", "core.windows.net")
        endpoint = fields.get("BlobEndpoint") or f"https://{name}.blob.{suffix}"
        return cls(name=name, key=secret, endpoint=endpoint.rstrip("/"))


class AzureSigner:
    """Signs for `container` of an account."""

    def __init__(self, account: AzureAccount, container: str, *, clock: Callable[[], float]) -> None:
        self._account = account
        self._container = container
        self._clock = clock

    @property
    def name(self) -> str:
        """See Signer."""
        return f"az://{self._account.name}/{self._container}"

    def sign(self, method: str, name: str, *, seconds: int, public: bool = False) -> SignedRequest:
        """See Signer."""
        del public
        return SignedRequest(method=method, url=self._url(name, self._sas(name, _PERMISSIONS[method], seconds)))

    def sign_put(self, name: str, content: Content, *, seconds: int, public: bool = False) -> SignedRequest:
        """See Signer. The headers are not signed, but without them the store would not check and keep the MD5."""
        md5 = base64.b64encode(content.md5).decode()
        headers = {"content-md5": md5, "x-ms-blob-type": "BlockBlob", "x-ms-version": _VERSION}
        signed = self.sign("PUT", name, seconds=seconds, public=public)
        return SignedRequest(method="PUT", url=signed.url, headers=headers)

    def sign_list(self, prefix: str, after: str, *, seconds: int) -> SignedRequest:
        """See Signer."""
        query = {"restype": "container", "comp": "list", "prefix": prefix, **({"marker": after} if after else {})}
        return SignedRequest(method="GET", url=self._url("", {**query, **self._sas("", "l", seconds)}))

    def listed(self, body: bytes) -> Listed:
        """See Signer."""
        root = xml.parse(body.removeprefix(b"\xef\xbb\xbf"), self.name)
        objects = tuple(
            (
                xml.text(one, "Name"),
                int(xml.text(one, "Properties/Content-Length") or 0),
                xml.seconds(xml.text(one, "Properties/Last-Modified")),
            )
            for one in root.iterfind("Blobs/Blob")
        )
        return Listed(objects=objects, after=xml.text(root, "NextMarker"))

    def md5(self, headers: Mapping[str, str]) -> bytes:
        """See Signer."""
        return base64.b64decode(headers.get("content-md5", ""))

    def _url(self, name: str, query: Mapping[str, str]) -> str:
        path = f"/{self._container}" + (f"/{quote(name, safe='/~')}" if name else "")
        return f"{self._account.endpoint}{path}?{urlencode(query)}"

    def _sas(self, name: str, permission: str, seconds: int) -> dict[str, str]:
        expiry = datetime.fromtimestamp(int(self._clock()) + seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        protocol = "https" if urlsplit(self._account.endpoint).scheme == "https" else "https,http"
        resource = "b" if name else "c"
        at = f"/blob/{self._account.name}/{self._container}" + (f"/{name}" if name else "")
        text = string_to_sign(permission, expiry, at, protocol, resource)
        digest = hmac.new(self._account.key, text.encode(), hashlib.sha256).digest()
        return {
            "sv": _VERSION,
            "sr": resource,
            "sp": permission,
            "se": expiry,
            "spr": protocol,
            "sig": base64.b64encode(digest).decode(),
        }


def string_to_sign(permission: str, expiry: str, resource_path: str, protocol: str, resource: str) -> str:
    """What the key signs, in version 2020-12-06: sixteen lines, those that we do not use empty."""
    identifier = address = snapshot = scope = ""
    overrides = ("", "", "", "", "")
    lines = (permission, _START, expiry, resource_path, identifier, address, protocol, _VERSION, resource, snapshot)
    return "\n".join((*lines, scope, *overrides))
