"""The bearer token that a build service is spoken to with."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from flyte_build.registry.errors import InvalidInput

VARIABLE = "FLYTE_BUILD_TOKEN"
AUDIENCE = "FLYTE_BUILD_TOKEN_AUDIENCE"
_FILE = "FLYTE_BUILD_TOKEN_FILE"


def bearer() -> str:
    """What FLYTE_BUILD_TOKEN_FILE names, FLYTE_BUILD_TOKEN, or a GitHub job's identity for FLYTE_BUILD_TOKEN_AUDIENCE.

    Empty where none is given. Asked anew for every call: such tokens live for minutes, and a build may take longer.
    Raises InvalidInput for what is no token, a file that cannot be read, or a job that may have none,
    RegistryUnavailable where GitHub gives none.
    """
    if file := os.environ.get(_FILE):
        return _of_file(file)
    if audience := "" if os.environ.get(VARIABLE) else os.environ.get(AUDIENCE):
        from flyte_build.worker.github.oidc import job_token

        return job_token(os.environ, audience)
    return _sound(os.environ.get(VARIABLE, "").strip(), VARIABLE, "set it anew: a token is one line, without blanks")


def _sound(token: str, where: str, hint: str) -> str:
    """A token as a header can carry it (RFC 6750, section 2.1); of another not a character is shown."""
    if any(not "!" <= character <= "~" for character in token):
        raise InvalidInput(f"what is in {where} is no token", hint=hint)
    return token


def _of_file(file: str) -> str:
    hint = f"put the token into it, or unset {_FILE}: {VARIABLE} counts only without it"
    try:
        token = Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InvalidInput(f"the token in {file} cannot be read: {error.strerror}", hint=hint) from error
    except ValueError as error:
        raise InvalidInput(f"what is in {file} is no token", hint=hint) from error
    if not token:
        raise InvalidInput(f"the file of the token, {file}, is empty", hint=hint)
    return _sound(token, file, hint)


def place() -> str:
    """What `bearer` takes a token from, in words; empty where it finds none."""
    if os.environ.get(_FILE):
        return f"the file of {_FILE}"
    if os.environ.get(VARIABLE):
        return VARIABLE
    return "the job's identity" if os.environ.get(AUDIENCE) else ""


def expiry(token: str) -> float | None:
    """When a JWT says that it ends, in seconds since 1970; None for any other token. Nothing is proved by it.

    Source: RFC 7519, section 4.1.4.
    """
    return _time(token, "exp")


def beginning(token: str) -> float | None:
    """From when on a JWT says that it counts, as `expiry`. Source: RFC 7519, section 4.1.5."""
    return _time(token, "nbf")


def _time(token: str, claim: str) -> float | None:
    parts = token.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(f"{parts[1]}==")) if len(parts) == 3 else {}
        return float(claims[claim])
    except (ValueError, KeyError, TypeError):
        return None


def advice(*, known: bool) -> str:
    """What to change where a service does not let us in, though it knows who we are (`known`) or as it does not."""
    other = _another()
    if os.environ.get(_FILE) or os.environ.get(VARIABLE):
        return f"name a project that the token may use (--project, --domain), or {other}" if known else other
    return other


def _another() -> str:
    """Where another token is given, in the order of `bearer`."""
    if file := os.environ.get(_FILE):
        return f"put another token into {file} ({_FILE} names it)"
    if os.environ.get(VARIABLE):
        return f"set {VARIABLE} to another token"
    if os.environ.get(AUDIENCE):
        return "let the rules of the service (--access) name this repository's jobs, their issuer and their audience"
    if os.environ.get("GITHUB_ACTIONS"):
        return f"give the job `permissions: id-token: write`, or set {VARIABLE}"
    return f"set {VARIABLE}"
