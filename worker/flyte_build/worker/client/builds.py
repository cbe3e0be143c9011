"""The client of `/api/v1/builds`: documents of builds, and a log that is followed over restarts of the service."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from urllib3.exceptions import HTTPError

from flyte_build.bundler.endpoint import Endpoint
from flyte_build.bundler.wire import pool_of
from flyte_build.registry.errors import FlyteBuildError, ServiceError, ServiceQuota
from flyte_build.registry.errors import ServiceUnavailable as Unavailable
from flyte_build.registry.redact import plain
from flyte_build.worker.builds.entries import Entry
from flyte_build.worker.client.absence import Absence
from flyte_build.worker.client.bearer import bearer
from flyte_build.worker.client.trouble import denied, unreachable

_PATH = "/api/v1/builds"
_MAX_ANSWER = 16 << 20
_MAX_LINE = 1 << 20
_ID = 32
# What a service says of its rules names all registries, and at its end what to do.
_SENTENCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildsClient:
    """Asks one endpoint. `patience` is how long, in seconds, a service may be away while its log is followed.

    `say` is told once, whenever it is away, that it is waited for.
    """

    endpoint: Endpoint
    token: str | Callable[[], str] = field(default=bearer, repr=False)
    patience: float = 120.0
    say: Callable[[str], None] = field(default=lambda _: None, repr=False)

    def list(self, wanted: Mapping[str, str]) -> tuple[Mapping[str, Any], ...]:
        """The newest builds; `wanted` may have project, domain, state, limit."""
        return tuple(self._document("GET", f"{_PATH}?{urlencode(wanted)}")["builds"])

    def show(self, build_id: str) -> Mapping[str, Any]:
        """One build; as in all calls the beginning of its id is enough.

        ServiceError when there is none, or that begins the ids of several.
        """
        return dict(self._document("GET", f"{_PATH}/{quote(build_id, safe='')}")["build"])

    def cancel(self, build_id: str) -> int:
        """Stops a build; how many runs waited for it."""
        return int(self._document("POST", f"{_PATH}/{quote(build_id, safe='')}/cancel")["runs"])

    def registry(self, project: str, domain: str) -> str:
        """Where a project's images go whose target names no registry; empty when the service has no such place."""
        asked = urlencode({"project": project, "domain": domain})
        return str(self._document("GET", f"/api/v1/registry?{asked}").get("registry", ""))

    def begin(self, asked: Mapping[str, object], request_id: str) -> Mapping[str, Any]:
        """Asks for the build of a plan: `{"build": …}`, or `{"missing": [sha256, …]}` and nothing was begun.

        Sent again while the service is away, with the same `request_id`, so that it begins once.
        """
        body, absence = json.dumps(asked).encode(), Absence(patience=self.patience, say=self.say)
        while True:
            try:
                return self._document("POST", _PATH, body, {"x-request-id": request_id})
            except Unavailable as error:
                if not absence.bears(error):
                    raise
            time.sleep(1)

    def log(self, build_id: str, *, follow: bool) -> Iterator[Entry | Mapping[str, Any]]:
        """The entries of a log, and at the end the build's document; with `follow` until the build has ended.

        ServiceUnavailable, with how it is followed later, when the service was away for longer than `patience`.
        """
        position, absence = 0, Absence(patience=self.patience, say=self.say, meanwhile="; the build goes on there")
        while True:
            try:
                # What begins one id now may begin two when a service that was away is asked again.
                build_id = build_id if len(build_id) == _ID else str(self.show(build_id)["id"])
                for line in self._lines(
                    f"{_PATH}/{quote(build_id, safe='')}/log?after={position}&follow={int(follow)}"
                ):
                    absence.ended()
                    if "position" in line:
                        position = line["position"]
                    elif "kind" in line:
                        yield Entry.decode(json.dumps(line))
                    elif not follow or line["state"] not in ("queued", "running"):
                        yield line
                        return
            except Unavailable as error:
                if not follow:
                    raise
                if not absence.bears(error):
                    raise self._left(error, build_id) from error
            time.sleep(1)

    def _left(self, error: Unavailable, build_id: str) -> Unavailable:
        later = (
            f"the build goes on there: `flyte-build builds logs -f {build_id} --endpoint {self.endpoint}` follows it"
        )
        return Unavailable(error.sentence, hint=f"{error.hint}; {later}" if error.hint else later)

    def _lines(self, path: str) -> Iterator[dict[str, Any]]:
        with self._asked("GET", path) as answer:
            held = b""
            for chunk in answer.stream(64 * 1024):
                *lines, held = (held + chunk).split(b"\n")
                if len(held) > _MAX_LINE:
                    raise ServiceError(f"{self.endpoint} sent a line of a log that is too long to be one")
                yield from (_decoded(line, self.endpoint) for line in lines if line.strip())

    def _document(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        with self._asked(method, path, body, headers) as answer:
            return _decoded(answer.read(_MAX_ANSWER), self.endpoint)

    @contextmanager
    def _asked(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        url = f"{self.endpoint}{path}"
        own = {"content-type": "application/json"} if body is not None else {}
        token = self.token() if callable(self.token) else self.token
        own |= {"authorization": f"Bearer {token}"} if token else {}
        timeout = urllib3.Timeout(connect=10, read=60)
        try:
            with pool_of(url) as pool:
                answer = pool.request(
                    method,
                    url,
                    body=body,
                    headers={**own, **(headers or {})},
                    timeout=timeout,
                    retries=False,
                    redirect=False,
                    preload_content=False,
                )
                try:
                    self._check(answer, token)
                    yield answer
                finally:
                    answer.close()
        except (HTTPError, OSError) as error:
            raise unreachable(error, self.endpoint) from error

    def _check(self, answer: urllib3.BaseHTTPResponse, token: str) -> None:
        if answer.status == 200:
            return
        said = _reason(answer) or f"it answered {answer.status}"
        error: FlyteBuildError = ServiceError(f"{self.endpoint}: {said}", hint="is it a flyte-build endpoint?")
        if answer.status in (401, 403):
            error = denied(f"{self.endpoint} does not let us in: {said}", token, known=answer.status == 403)
        elif answer.status == 404 and said.startswith("there is no build"):
            listed = f"`flyte-build builds list --endpoint {self.endpoint}` says which there are"
            error = ServiceError(said.replace(" here", f" at {self.endpoint}", 1), hint=listed)
        elif answer.status == 409:
            error = ServiceError(f"{self.endpoint}: {said}", hint="give more of the id")
        elif answer.status == 422:
            error = ServiceError(f"{self.endpoint} refused the build: {said}")
        elif answer.status == 429:
            error = ServiceQuota(f"{self.endpoint} does not take another build now: {said}")
        elif answer.status == 405:
            error = ServiceError(
                f"{self.endpoint} takes no plans", hint="upgrade the build service, or use --engine buildx"
            )
        elif answer.status >= 500:
            error = Unavailable(f"{self.endpoint} cannot answer now: {said}")
        raise error


def _reason(answer: urllib3.BaseHTTPResponse) -> str:
    body = answer.read(64 * 1024)
    try:
        return plain(str(json.loads(body)["error"]), _SENTENCE)
    except (ValueError, KeyError, TypeError):
        ours = answer.headers.get("content-type", "").startswith("text/plain")
        return plain(body.decode(errors="replace"), _SENTENCE if ours else 100)


def _decoded(body: bytes, endpoint: Endpoint) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise ServiceError(f"{endpoint} answered something that is not JSON") from error
    if not isinstance(document, dict):
        raise ServiceError(f"{endpoint} answered something that is not a document")
    return document
