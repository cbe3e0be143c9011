"""What endpoints and stores say, read with suspicion: places, codes, and words that are safe to show. Pure."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qsl, urlsplit

from flyte_build.bundler.endpoint import Endpoint
from flyte_build.bundler.upload import Location
from flyte_build.bundler.wire import Answer, Request
from flyte_build.registry.errors import ServiceDenied, ServiceError, ServiceStranger, ServiceUnavailable, UploadError
from flyte_build.registry.redact import plain

# Our own endpoint says with them that it has these bytes under this name, and that it joins parts; others know neither.
EXISTS_HEADER = "x-flyte-build-exists"
PARTS_HEADER = "x-flyte-build-parts"
_EXPIRED = re.compile(rb"expired|not valid in the specified time frame", re.IGNORECASE)
# Signatures, keys and tokens: no word of a reason is that long.
_TOKEN = re.compile(r"[A-Za-z0-9%+/=_.-]{32,}")
# A shorter value of a signed URL gives nothing away, and may be a word.
_LONG = 8
_FAILURES = {
    "unauthenticated": ServiceStranger,
    "permission_denied": ServiceDenied,
    "unavailable": ServiceUnavailable,
    "deadline_exceeded": ServiceUnavailable,
    "resource_exhausted": ServiceUnavailable,
}

_HINTS = {
    "unauthenticated": "set FLYTE_BUILD_TOKEN to a token that this endpoint knows",
    "permission_denied": "check --project and --domain, and whose token FLYTE_BUILD_TOKEN is",
}


def location_of(endpoint: Endpoint, answer: Answer) -> Location:
    if answer.status != 200:
        raise _failure(endpoint, answer)
    document = _document(answer)
    signed, uri, headers = (document.get(name) for name in ("signedUrl", "nativeUrl", "headers"))
    if not (isinstance(signed, str) and signed.startswith(("http://", "https://")) and isinstance(uri, str) and uri):
        raise ServiceError(f"{endpoint} gave no place to upload to", hint="check that it is a Flyte 2 endpoint")
    pairs = headers.items() if isinstance(headers, dict) else ()
    texts = tuple((str(name), str(value)) for name, value in pairs)
    said = {name.lower() for name, value in texts if value == "1"}
    kept = tuple((name, value) for name, value in texts if name.lower() not in _OURS)
    exists, joins = EXISTS_HEADER in said, PARTS_HEADER in said
    return Location(uri=uri, signed_url=signed, headers=kept, exists=exists, joins=joins)


_OURS = (EXISTS_HEADER, PARTS_HEADER, "content-length", "content-md5")


def _document(answer: Answer) -> dict[str, object]:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def code_of(answer: Answer) -> str:
    return str(_document(answer).get("code", "")) if answer.status != 200 else ""


def _failure(endpoint: Endpoint, answer: Answer) -> ServiceError:
    code, said = code_of(answer), plain(str(_document(answer).get("message", "")), 1000)
    if not code and answer.status in (500, 502, 503, 504):
        return ServiceUnavailable(
            f"{endpoint} answered {answer.status}: it is out of order, or what stands before it is",
            hint="try again later; if it stays, tell whoever runs it",
        )
    if not code:
        return ServiceError(
            f"{endpoint} answered {answer.status}, which is not what a Flyte 2 endpoint says",
            hint="check the URL and its path",
        )
    kind = _FAILURES.get(code, ServiceError)
    return kind(f"{endpoint} gave no place to upload to: {said or code.replace('_', ' ')}", hint=_HINTS.get(code, ""))


def refused(request: Request, answer: Answer) -> UploadError:
    what = f"the upload to {request.origin} was refused"
    if answer.status in (400, 401, 403) and _EXPIRED.search(answer.body):
        return UploadError(
            f"{what}: its signed URL has expired", hint="run the command again; check this machine's clock"
        )
    return UploadError(f"{what} ({answer.status}): {_said(request, answer) or 'the store gave no reason'}")


def _said(request: Request, answer: Answer) -> str:
    """The words in a store's XML or plain answer, without what may repeat the signed request."""
    text = answer.body[:4096].decode(errors="replace")
    # Beside its message, S3 repeats the signature and what was signed.
    words = re.search(r"<Message>([^<]+)</Message>", text) or re.search(r"<Code>([^<]+)</Code>", text)
    shown = words[1] if words else re.sub(r"<[^>]*>", " ", text)
    for _, value in parse_qsl(urlsplit(request.url).query):
        shown = shown.replace(value, "…") if len(value) >= _LONG else shown
    return _TOKEN.sub("…", plain(shown))
