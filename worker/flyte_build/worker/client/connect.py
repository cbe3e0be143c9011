"""Calls of Flyte's RPCs by the Connect protocol, in its JSON form, with this machine's proxies and authorities.

Source: the Connect protocol specification, "Unary-Request" and "Enveloped-Message".
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import urllib3
from google.protobuf import json_format
from google.protobuf.message import Message
from urllib3.exceptions import HTTPError

from flyte_build.bundler.endpoint import Endpoint
from flyte_build.bundler.wire import Request, Wire, pool_of
from flyte_build.registry.errors import ServiceError, ServiceUnavailable, UploadError
from flyte_build.registry.redact import plain
from flyte_build.registry.translate import translated
from flyte_build.worker.client.trouble import denied

_A = TypeVar("_A", bound=Message)
_MAX_ENVELOPE = 8 << 20
_END = 0x02
# A stream that says nothing for so long is begun again by whoever reads it, in seconds.
_SILENCE = 120.0


class CallRefused(ServiceError):
    """An endpoint said no; `code` is Connect's, like `not_found`."""

    def __init__(self, sentence: str, code: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """Calls to one endpoint; `token` is a bearer token or empty, or tells it anew for every call: they expire."""

    endpoint: Endpoint
    token: str | Callable[[], str] = field(default="", repr=False)
    wire: Wire = field(default_factory=Wire)

    def call(self, method: str, request: Message, answer: type[_A], request_id: str = "") -> _A:
        """One answer of `package.Service/Method`. CallRefused, ServiceDenied, or ServiceUnavailable (transient).

        Sent again where that may help: with the same `request_id`, which tells the endpoint.
        """
        body = _encoded(request)
        headers = {**self._headers("application/json"), **({"x-request-id": request_id} if request_id else {})}
        url = f"{self.endpoint}/{method}"
        try:
            said = self.wire.send(Request(method="POST", url=url, headers=headers, body=lambda: io.BytesIO(body)))
        except UploadError as error:
            raise ServiceUnavailable(error.sentence, hint="check the endpoint's URL, and that it is up") from error
        if said.status != 200:
            raise self._refusal(method, said.status, said.body)
        return self._decoded(said.body, answer)

    def stream(self, method: str, request: Message, answer: type[_A]) -> Iterator[_A]:
        """Every answer of a streaming method. ServiceUnavailable when the stream breaks; raises as `call` else."""
        body = _encoded(request)
        url, headers = f"{self.endpoint}/{method}", self._headers("application/connect+json")
        timeout = urllib3.Timeout(connect=10, read=_SILENCE)
        try:
            with pool_of(url) as pool:
                raw = pool.request(
                    "POST",
                    url,
                    body=b"\x00" + len(body).to_bytes(4, "big") + body,
                    headers=headers,
                    timeout=timeout,
                    retries=False,
                    redirect=False,
                    preload_content=False,
                )
                try:
                    if raw.status != 200:
                        raise self._refusal(method, raw.status, raw.read(64 * 1024))
                    for flags, data in _envelopes(raw):
                        if flags & _END:
                            self._check_end(method, data)
                            return
                        yield self._decoded(data, answer)
                finally:
                    raw.close()
        except (HTTPError, OSError) as error:
            raise ServiceUnavailable(translated(error, str(self.endpoint)).sentence) from error
        raise ServiceUnavailable(f"{self.endpoint} ended the stream of {method} in the middle")

    def _headers(self, kind: str) -> dict[str, str]:
        headers = {"content-type": kind, "connect-protocol-version": "1", "accept-encoding": "identity"}
        token = self.token() if callable(self.token) else self.token
        return {**headers, "authorization": f"Bearer {token}"} if token else headers

    def _decoded(self, data: bytes, answer: type[_A]) -> _A:
        try:
            message: _A = json_format.Parse(data or b"{}", answer(), ignore_unknown_fields=True)
        except json_format.ParseError as error:
            raise ServiceError(f"{self.endpoint} answered something that is not Flyte's") from error
        return message

    def _check_end(self, method: str, data: bytes) -> None:
        error = _document(data).get("error")
        if error is not None:
            raise self._refusal(method, 200, json.dumps(error).encode())

    def _refusal(self, method: str, status: int, body: bytes) -> ServiceError:
        said = _document(body)
        code, name = str(said.get("code", "")), method.rpartition("/")[2]
        if not code:
            return ServiceError(
                f"{self.endpoint} answered {name} with {status}, which is not what a Flyte 2 endpoint says",
                hint="check the URL and its path",
            )
        sentence = f"{self.endpoint} refused {name}: {plain(str(said.get('message', '')), 1000) or code}"
        if code in ("unauthenticated", "permission_denied"):
            token = self.token() if callable(self.token) else self.token
            return denied(sentence, token, known=code == "permission_denied")
        if code in ("unavailable", "deadline_exceeded", "resource_exhausted", "canceled"):
            return ServiceUnavailable(sentence)
        return CallRefused(sentence, code)


def _encoded(message: Message) -> bytes:
    text: str = json_format.MessageToJson(message, indent=None)
    return text.encode()


def _document(data: bytes) -> dict[str, object]:
    try:
        document = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _envelopes(raw: urllib3.BaseHTTPResponse) -> Iterator[tuple[int, bytes]]:
    held = b""
    for chunk in raw.stream(64 * 1024):
        held += chunk
        while len(held) >= 5 and len(held) >= 5 + (size := int.from_bytes(held[1:5], "big")):
            yield held[0], held[5 : 5 + size]
            held = held[5 + size :]
        if len(held) > _MAX_ENVELOPE:
            raise HTTPError("a message of the stream is too long")
