"""What a build service says of itself, and of whoever asks: `/readyz` and `/api/v1/service`."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError

from flyte_build.bundler.endpoint import Endpoint
from flyte_build.bundler.wire import Answer, pool_of
from flyte_build.registry.errors import ServiceError
from flyte_build.registry.redact import plain
from flyte_build.worker.client.trouble import denied, unreachable

_MAX_ANSWER = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What answers at an endpoint: its status, and the parts that it lacks; None if it is no build service.

    `ahead` is by how many seconds its clock is before ours, as exact as a second; 0 where it says no time.
    """

    status: int
    missing: tuple[str, ...] | None
    ahead: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a service says to its caller. `expires` in seconds since 1970; `registry` is None where one may not.

    `workers` are the platforms of each that lives; none is all.
    """

    release: str
    recipe: int
    who: str
    expires: float | None
    projects: tuple[str, ...]
    registry: str | None
    workers: tuple[tuple[str, ...], ...]
    signs: bool


def reach(endpoint: Endpoint) -> Reached:
    """Asks whoever is there, without a token. Raises ServiceUnavailable or ServiceError when nobody answers."""
    answer = _asked(endpoint, "/readyz")
    missing = _document(answer.body).get("missing")
    known = isinstance(missing, list) and "ok" in _document(answer.body)
    return Reached(
        status=answer.status,
        missing=tuple(plain(str(one), 40) for one in missing or ()) if known else None,
        ahead=_ahead(answer.headers.get("date", "")),
    )


def describe(endpoint: Endpoint, token: str, scope: tuple[str, str]) -> Described | None:
    """What the service says of itself, us and a project and domain; None if its release is too old to say it.

    Raises ServiceDenied where it does not know us, ServiceError for an answer that is none.
    """
    project, domain = scope
    answer = _asked(endpoint, f"/api/v1/service?{urlencode({'project': project, 'domain': domain})}", token)
    document = _document(answer.body)
    said = plain(str(document.get("error") or answer.body.decode(errors="replace")), 1000)
    if answer.status in (401, 403):
        raise denied(f"{endpoint} does not let us in: {said}", token, known=answer.status == 403)
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise ServiceError(f"{endpoint} does not say what it is: {said}")
    try:
        return _described(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ServiceError(f"{endpoint} says of itself what this release does not understand") from error


def _described(document: Mapping[str, Any]) -> Described:
    expires, registry, workers = document["expires"], document["registry"], document["workers"]
    return Described(
        release=plain(str(document["release"]), 40),
        recipe=int(document["recipe"]),
        who=plain(str(document["who"])),
        expires=None if expires is None else float(expires),
        projects=tuple(plain(str(one), 100) for one in document["projects"]),
        registry=None if registry is None else plain(str(registry)),
        workers=tuple(tuple(plain(str(one), 40) for one in worker["platforms"]) for worker in workers),
        signs=bool(workers) and all(worker["signs"] for worker in workers),
    )


def _asked(endpoint: Endpoint, path: str, token: str = "") -> Answer:
    """The whole answer, at most 1 MiB of it. Redirects are answers: a token is not carried elsewhere."""
    url, headers = f"{endpoint}{path}", {"authorization": f"Bearer {token}"} if token else {}
    timeout = urllib3.Timeout(connect=5, read=15)
    try:
        with pool_of(url) as pool:
            raw = pool.request(
                "GET", url, headers=headers, timeout=timeout, retries=False, redirect=False, preload_content=False
            )
            try:
                return Answer(status=raw.status, headers=raw.headers, body=raw.read(_MAX_ANSWER))
            finally:
                raw.close()
    except (HTTPError, OSError) as error:
        raise unreachable(error, endpoint) from error


def _document(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _ahead(date: str) -> float:
    """By the time in an answer's `Date` (RFC 9110 section 6.6.1), which is a whole second."""
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except ValueError:
        return 0.0
