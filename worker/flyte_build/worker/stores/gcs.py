"""Google Cloud Storage: URLs signed by its V4 process (cloud.google.com/storage/docs/authentication/signatures).

A PUT binds method, key, MD5, expiry and a range of sizes. The key of a service account signs, or the IAM API in its
name. google-auth is imported here only.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, urlsplit

from flyte_build.registry.errors import ServiceError
from flyte_build.worker.stores import xml
from flyte_build.worker.stores.http import SignedRequest
from flyte_build.worker.stores.signer import Content, Listed
from flyte_build.worker.stores.store import MAX_OBJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PUBLIC = "https://storage.googleapis.com"
_RANGE = "x-goog-content-length-range"
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"


class GoogleKey(Protocol):
    """A service account that signs."""

    @property
    def email(self) -> str:
        """Who signs."""
        ...

    def sign(self, data: bytes) -> bytes:
        """RSA with SHA-256 (RFC 8017, RSASSA-PKCS1-v1_5)."""
        ...


class GcsSigner:
    """Signs for `bucket` at `endpoint`, by its XML API."""

    def __init__(self, bucket: str, key: GoogleKey, *, endpoint: str = "", clock: Callable[[], float]) -> None:
        self._bucket = bucket
        self._key = key
        self._endpoint = endpoint or _PUBLIC
        self._clock = clock

    @property
    def name(self) -> str:
        """See Signer."""
        return f"gs://{self._bucket}"

    def sign(self, method: str, name: str, *, seconds: int, public: bool = False) -> SignedRequest:
        """See Signer."""
        del public
        return self._signed(method, name, {}, {}, seconds)

    def sign_put(self, name: str, content: Content, *, seconds: int, public: bool = False) -> SignedRequest:
        """See Signer."""
        del public
        sizes = f"{content.size},{content.size}" if content.size else f"0,{MAX_OBJECT}"
        headers = {"content-md5": base64.b64encode(content.md5).decode(), _RANGE: sizes}
        return self._signed("PUT", name, headers, {}, seconds)

    def sign_list(self, prefix: str, after: str, *, seconds: int) -> SignedRequest:
        """See Signer."""
        query = {"list-type": "2", "prefix": prefix, **({"continuation-token": after} if after else {})}
        return self._signed("GET", "", {}, query, seconds)

    def listed(self, body: bytes) -> Listed:
        """See Signer."""
        root = xml.parse(body, self.name)
        objects = tuple(
            (xml.text(one, "Key"), int(xml.text(one, "Size") or 0), xml.seconds(xml.text(one, "LastModified")))
            for one in root.iterfind("Contents")
        )
        return Listed(objects=objects, after=xml.text(root, "NextContinuationToken"))

    def md5(self, headers: Mapping[str, str]) -> bytes:
        """See Signer: `x-goog-hash: crc32c=…,md5=…`."""
        for one in headers.get("x-goog-hash", "").split(","):
            kind, _, value = one.strip().partition("=")
            if kind == "md5":
                return base64.b64decode(value)
        return b""

    def _signed(
        self, method: str, name: str, headers: Mapping[str, str], query: Mapping[str, str], seconds: int
    ) -> SignedRequest:
        at = datetime.fromtimestamp(self._clock(), timezone.utc)
        moment, scope = at.strftime("%Y%m%dT%H%M%SZ"), f"{at:%Y%m%d}/auto/storage/goog4_request"
        path = f"/{self._bucket}" + (f"/{quote(name, safe='/~')}" if name else "")
        signed = {**headers, "host": urlsplit(self._endpoint).netloc}
        whole = {
            **query,
            "X-Goog-Algorithm": "GOOG4-RSA-SHA256",
            "X-Goog-Credential": f"{self._key.email}/{scope}",
            "X-Goog-Date": moment,
            "X-Goog-Expires": str(seconds),
            "X-Goog-SignedHeaders": ";".join(sorted(signed)),
        }
        canonical = canonical_request(method, path, whole, signed)
        text = f"GOOG4-RSA-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = self._key.sign(text.encode()).hex()
        url = f"{self._endpoint}{path}?{_query(whole)}&X-Goog-Signature={signature}"
        return SignedRequest(method=method, url=url, headers=dict(headers))


def canonical_request(method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """What is hashed and signed ("Canonical requests"); header names are lower-case."""
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in sorted(headers))
    return f"{method}\n{path}\n{_query(query)}\n{lines}\n{';'.join(sorted(headers))}\nUNSIGNED-PAYLOAD"


def _query(query: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='~')}={quote(query[name], safe='~')}" for name in sorted(query))


def default_key() -> GoogleKey:
    """The service account that Google's libraries find (ADC); the IAM API signs for one without a key of its own."""
    try:
        import google.auth
        from google.auth import exceptions, iam
        from google.auth.transport.requests import Request
    except ImportError as error:
        raise ServiceError(
            "a store on Google Cloud needs google-auth, which is not installed", hint="pip install 'flyte-build[gcp]'"
        ) from error
    try:
        found, _ = google.auth.default(scopes=[_SCOPE, "https://www.googleapis.com/auth/iam"])
        if not hasattr(found, "sign_bytes"):
            found.refresh(Request())  # type: ignore[no-untyped-call]
            email = str(getattr(found, "service_account_email", ""))
            return _Google(email, iam.Signer(Request(), found, email).sign)  # type: ignore[no-untyped-call]
        return _Google(str(found.signer_email), found.sign_bytes)  # type: ignore[attr-defined]
    except exceptions.GoogleAuthError as error:
        raise ServiceError(
            f"there are no credentials for Google Cloud: {error}",
            hint="set GOOGLE_APPLICATION_CREDENTIALS, or give the workload a service account",
        ) from error


class _Google:
    def __init__(self, email: str, sign: Callable[[bytes], bytes]) -> None:
        self.email = email
        self.sign = sign
