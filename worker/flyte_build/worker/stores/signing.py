"""Signed URLs of the local store: what a URL allows, and for how long, bound by an HMAC (RFC 2104, SHA-256).

Pure but for `load_secret`. The signed text is a JSON list, so that no two grants can ever be written the same way.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from flyte_build.registry.errors import InvalidName, ServiceDenied, ServiceError
from flyte_build.worker.stores.keys import ObjectKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Leave to use one object: with `method` (PUT), until `expires` (seconds since 1970), as often as one likes.

    `md5` (hex) is the only content that a PUT may bring; `size` in bytes bounds it, 0 when it was not said.
    """

    method: str
    key: ObjectKey
    md5: str
    size: int
    expires: int

    def signature(self, secret: bytes) -> str:
        """64 hex digits that only the holder of `secret` can make."""
        text = json.dumps(["flyte-build-1", self.method, str(self.key), self.md5, self.size, self.expires])
        return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()

    def url(self, base: str, secret: bytes) -> str:
        """The signed URL under `base`."""
        query = {"md5": self.md5, "size": self.size, "expires": self.expires, "signature": self.signature(secret)}
        return f"{base}/{quote(str(self.key))}?{urlencode(query)}"


def verify(method: str, path: str, query: Mapping[str, str], *, secret: bytes, now: float) -> Grant:
    """The grant that a request carries; ServiceDenied if it was tampered with, is for something else, or ran out.

    The words for an expired URL are those that clients of object stores look for.
    """
    try:
        grant = Grant(
            method=method,
            key=ObjectKey.parse(path),
            md5=query.get("md5", ""),
            size=int(query.get("size", "")),
            expires=int(query.get("expires", "")),
        )
    except (InvalidName, ValueError) as error:
        raise ServiceDenied("AccessDenied: this is not a signed URL of this store") from error
    if not hmac.compare_digest(grant.signature(secret).encode(), query.get("signature", "").encode()):
        raise ServiceDenied("SignatureDoesNotMatch: this signed URL is not for this request, or was changed")
    if now >= grant.expires:
        raise ServiceDenied("AccessDenied: Request has expired; ask for a new upload location")
    return grant


def load_secret(path: Path) -> bytes:
    """The signing secret in `path`, made on first use and readable by its owner only."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        secret = path.read_bytes()
    else:
        secret = secrets.token_bytes(_SECRET_BYTES)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret)
    if len(secret) != _SECRET_BYTES:
        raise ServiceError(f"{path} is not a signing secret of {_SECRET_BYTES} bytes", hint=f"remove {path}")
    return secret
