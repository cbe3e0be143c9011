"""Answers that mean no, as errors of ours: the one place that decides which is which."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Protocol

from flyte_build.registry.errors import (
    RegistryDenied,
    RegistryError,
    RegistryMissing,
    RegistryProtocol,
    RegistryUnavailable,
)
from flyte_build.registry.redact import plain

# OCI distribution-spec "Error Codes", and NOT_FOUND, which Harbor says.
_ABSENT = frozenset({"MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "NOT_FOUND"})
# A manifest that names content which is not there is refused with 400 by some and 404 by others.
_INCOMPLETE = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"})
_REFUSED = frozenset({"DENIED", "UNAUTHORIZED"})
TEMPORARY = frozenset({408, 429, 500, 502, 503, 504})

_STRANGER_HINT = "log in with `docker login {host}` as a user who may do this, or check the name"
_UNSURE_HINT = "mend that, or give --username NAME --password-stdin"
_UNKNOWN_HINT = "it does not accept this password or token: renew it where it was found, or `docker login {host}` again"
_DENIED_HINT = "this user may not do it: `docker login {host}` as one who may, or check the name"
_LATER_HINT = "try again later: the registry is in trouble"
ANONYMOUS = "anonymous"
_HINTS = {
    404: "check the name; some registries want a repository to be made first (at ECR: --create-repository)",
    405: "the registry, or this part of it, is read-only",
    429: "wait, or log in: registries allow more to users they know",
}


class Answer(Protocol):
    """What is looked at in an answer."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...
    def header(self, name: str) -> str: ...


def is_absent(answer: Answer) -> bool:
    """Whether a 404 says truthfully that the thing is not there.

    It does with one of the OCI codes, or with nothing at all; a page for people may come from anything in between.
    """
    if answer.status != HTTPStatus.NOT_FOUND or is_page(answer):
        return False
    codes = _codes(answer.body)
    return not codes or any(code in _ABSENT for code, _ in codes)


def is_page(answer: Answer) -> bool:
    """Whether the answer is HTML: a login page, a portal, a proxy's apology."""
    body = answer.body.strip()
    # Quay answers its version check with the word `true`, as HTML.
    says_html = answer.header("content-type").lower().startswith("text/html") and body not in (b"", b"true")
    return says_html or body[:1] == b"<"


def refusal(action: str, host: str, answer: Answer, identity: str, registry: str = "") -> RegistryError:
    """The error for an answer that is not the one hoped for.

    `action` is what was tried ("cannot read ghcr.io/acme/train:v1"), `identity` as whom ("anonymous"), `registry`
    whose credentials those are where that is not `host`.
    """
    codes = _codes(answer.body)
    status = answer.status
    sentence = f"{action}: {answered(host, answer)} to {identity}"
    if status in (401, 403) or any(code in _REFUSED for code, _ in codes):
        hint = _UNKNOWN_HINT if status == HTTPStatus.UNAUTHORIZED else _DENIED_HINT
        if identity.startswith(ANONYMOUS):
            hint = _STRANGER_HINT if identity == ANONYMOUS else _UNSURE_HINT
        return RegistryDenied(sentence, hint=hint.format(host=registry or host))
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return RegistryDenied(sentence, hint=_HINTS[status])
    if is_absent(answer):
        return RegistryMissing(sentence, hint=_HINTS[404])
    if any(code in _INCOMPLETE for code, _ in codes):
        return RegistryMissing(sentence, hint="something that it names was not pushed, or was removed: push it again")
    if status in TEMPORARY:
        wait = answer.header("retry-after")
        later = f"it asks to wait until {plain(wait, 40)}" if wait and not wait.isdecimal() else ""
        later = f"it asks to wait {wait[:9]} s" if wait.isdecimal() else later
        return RegistryUnavailable(
            sentence, hint="; ".join(part for part in (later, _HINTS.get(status, _LATER_HINT)) if part)
        )
    # Who answers with the specification's codes is a registry.
    hint = "" if codes else "check that the host is an OCI registry and not a proxy or login page"
    return RegistryProtocol(sentence, hint=hint)


def answered(host: str, answer: Answer) -> str:
    """`ghcr.io answered 503 Service Unavailable`, with what it says of it."""
    return f"{host} answered {_status(answer.status)}{_said(answer, _codes(answer.body))}"


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _said(answer: Answer, codes: tuple[tuple[str, str], ...]) -> str:
    if codes:
        code, message = codes[0]
        return f" ({code}{': ' if message else ''}{message})"
    return " with an HTML page" if is_page(answer) else ""


def _codes(body: bytes) -> tuple[tuple[str, str], ...]:
    """(code, message) pairs of an OCI error document, fit to be shown; none if it is not one."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    errors = document.get("errors") if isinstance(document, dict) else None
    entries = [entry for entry in errors if isinstance(entry, dict)] if isinstance(errors, list) else []
    return tuple((plain(str(e.get("code", "")), 60), plain(str(e.get("message", "")))) for e in entries[:10])
