"""S3 and what speaks like it: URLs signed by AWS Signature Version 4, with the credentials that boto3 finds.

A PUT binds method, key, MD5, expiry and, when it is known, the size; the MD5 also becomes metadata, because an ETag is
no MD5 where the bucket encrypts. boto3 is slow to import and imported here only.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from flyte_build.registry.errors import ServiceError
from flyte_build.worker.stores import xml
from flyte_build.worker.stores.http import SignedRequest
from flyte_build.worker.stores.signer import Content, Listed

if TYPE_CHECKING:
    from collections.abc import Mapping

# At DEBUG it writes down each signature that it makes.
logging.getLogger("botocore").setLevel(logging.INFO)
_METHODS = {"GET": "get_object", "HEAD": "head_object", "DELETE": "delete_object"}
_META = "flyte-build-md5"
_ETAG = re.compile(r'"?([0-9a-f]{32})"?')


class S3Signer:
    """Signs for `bucket`. `endpoint` is where the service reaches it, `public` where others do; empty: AWS's own."""

    def __init__(self, bucket: str, *, endpoint: str = "", public: str = "", region: str = "") -> None:
        self._bucket = bucket
        self._inside = _client(endpoint, region)
        self._outside = _client(public, region) if public else self._inside

    @property
    def name(self) -> str:
        """See Signer."""
        return f"s3://{self._bucket}"

    def sign(self, method: str, name: str, *, seconds: int, public: bool = False) -> SignedRequest:
        """See Signer."""
        return self._signed(_METHODS[method], method, {"Key": name}, seconds, public=public)

    def sign_put(self, name: str, content: Content, *, seconds: int, public: bool = False) -> SignedRequest:
        """See Signer."""
        md5 = base64.b64encode(content.md5).decode()
        params: dict[str, object] = {"Key": name, "ContentMD5": md5, "Metadata": {_META: md5}}
        if content.size:
            params["ContentLength"] = content.size
        signed = self._signed("put_object", "PUT", params, seconds, public=public)
        headers = {"content-md5": md5, f"x-amz-meta-{_META}": md5}
        return SignedRequest(method="PUT", url=signed.url, headers=headers)

    def sign_list(self, prefix: str, after: str, *, seconds: int) -> SignedRequest:
        """See Signer."""
        params: dict[str, object] = {"Prefix": prefix}
        if after:
            params["ContinuationToken"] = after
        return self._signed("list_objects_v2", "GET", params, seconds, public=False)

    def listed(self, body: bytes) -> Listed:
        """See Signer."""
        root = xml.parse(body, self.name)
        # botocore asks for names in which nothing can break the XML.
        decode = unquote_plus if xml.text(root, "EncodingType") == "url" else str
        objects = tuple(
            (decode(xml.text(one, "Key")), int(xml.text(one, "Size") or 0), xml.seconds(xml.text(one, "LastModified")))
            for one in root.iterfind("Contents")
        )
        return Listed(objects=objects, after=xml.text(root, "NextContinuationToken"))

    def md5(self, headers: Mapping[str, str]) -> bytes:
        """See Signer."""
        try:
            stated = base64.b64decode(headers.get(f"x-amz-meta-{_META}", ""), validate=True)
        except binascii.Error:
            stated = b""
        etag = _ETAG.fullmatch(headers.get("etag", ""))
        return stated or (bytes.fromhex(etag[1]) if etag else b"")

    def _signed(
        self, operation: str, method: str, params: Mapping[str, object], seconds: int, *, public: bool
    ) -> SignedRequest:
        from botocore.exceptions import BotoCoreError

        client = self._outside if public else self._inside
        try:
            url = client.generate_presigned_url(  # type: ignore[attr-defined] # boto3 makes its clients' methods
                operation, Params={"Bucket": self._bucket, **params}, ExpiresIn=seconds, HttpMethod=method
            )
        except BotoCoreError as error:
            raise ServiceError(
                f"the store {self.name} cannot be used: {error}",
                hint="give credentials where boto3 looks, like AWS_ACCESS_KEY_ID or a role",
            ) from error
        return SignedRequest(method=method, url=str(url))


def _client(endpoint: str, region: str) -> object:
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise ServiceError(
            "a store on S3 needs boto3, which is not installed", hint="pip install 'flyte-build[aws]'"
        ) from error
    config = Config(
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
    session = boto3.session.Session()
    where = region or session.region_name or "us-east-1"
    return session.client("s3", endpoint_url=endpoint or None, region_name=where, config=config)
