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
    Raises InvalidInput where the file cannot be read or the job may have no token, RegistryUnavailable where GitHub
    gives none.
    """
    if file := os.environ.get(_FILE):
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise InvalidInput(f"the token in {file} cannot be read: {error.strerror}") from error
    if audience := "" if os.environ.get(VARIABLE) else os.environ.get(AUDIENCE):
        from flyte_build.worker.github.oidc import job_token

        return job_token(os.environ, audience)
    return os.environ.get(VARIABLE, "")


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
    parts = token.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(f"{parts[1]}==")) if len(parts) == 3 else {}
        return float(claims["exp"])
    except (ValueError, KeyError, TypeError):
        return None


def advice() -> str:
    """What to change where a service does not let us in."""
    if os.environ.get(AUDIENCE) and not os.environ.get(VARIABLE):
        return "let the rules of the service (--access) name this repository's jobs, their issuer and their audience"
    if os.environ.get("GITHUB_ACTIONS"):
        return f"give the job `permissions: id-token: write`, or set {VARIABLE}"
    if os.environ.get(_FILE) or os.environ.get(VARIABLE):
        return f"name a project that the token may use (--project, --domain), or set {VARIABLE} to another one"
    return f"set {VARIABLE}"
