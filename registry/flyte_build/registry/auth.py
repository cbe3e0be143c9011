"""Requests to a registry, as whoever the registry wants us to be."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from flyte_build.registry.challenge import Challenge, parse_challenges
from flyte_build.registry.endpoints import Endpoint, Endpoints
from flyte_build.registry.errors import RegistryProtocol
from flyte_build.registry.guard import Guard
from flyte_build.registry.identity import Credentials, CredentialSource
from flyte_build.registry.known import Identities
from flyte_build.registry.names import Registry, Repository
from flyte_build.registry.redact import plain
from flyte_build.registry.redirects import join, same_origin
from flyte_build.registry.tokens import Tokens
from flyte_build.registry.wire import Request, Response, Transport

PULL = "pull"
PUSH = "pull,push"
# What taking back an upload needs where tokens are used: registries count it as deleting.
DELETE = "pull,push,delete"


class Authenticated:
    """Answers a registry's challenges with the credentials that were found; asks for those only when challenged."""

    def __init__(
        self,
        transport: Transport,
        endpoints: Endpoints,
        tokens: Tokens,
        credentials: CredentialSource,
        guard: Guard,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._transport = transport
        self._endpoints = endpoints
        self._tokens = tokens
        self._guard = guard
        self._identities = Identities(credentials, clock)

    def send(
        self, repository: Repository, request: Request, actions: str = PULL, also: Repository | None = None
    ) -> Response:
        """`request.url` is a path of the registry's API, or a URL that it gave; only its own origin sees credentials.

        `also` is a second repository of the registry that is read from. A 401 that is returned, not answered, means
        that these credentials (or none) are not enough.
        """
        endpoint = self._endpoints.of(repository.registry)
        request = replace(request, url=join(f"{endpoint.base}/", request.url))
        if not same_origin(endpoint.base, request.url):
            most = self._guard.check(endpoint.base, request.url, "a place for an upload or a page")
            return self._transport.send(replace(request, seclusion=most))
        scope = f"repository:{repository.path}:{actions}"
        scope = f"{scope} repository:{also.path}:{PULL}" if also else scope
        authorization = self._authorization(endpoint, endpoint.challenges, scope)
        response = self._transport.send(_with(request, authorization))
        challenges = parse_challenges(response.header("www-authenticate"))
        # Who we were sent on to may be anybody, and must not learn who we are by asking.
        if response.status != 401 or not challenges or not same_origin(endpoint.base, response.url):
            return response
        for challenge in challenges:
            self._tokens.forget(endpoint.base, challenge, scope)
        self._identities.doubt(endpoint.registry)
        again = self._authorization(endpoint, challenges, scope)
        if again is None or again == authorization:
            return response
        return self._transport.send(_with(request, again))

    def identity(self, registry: Registry) -> str:
        """Who we were to this registry so far, for people: "alice (from ~/.docker/config.json)" or "anonymous"."""
        return self._identities.shown(registry)

    def _authorization(self, endpoint: Endpoint, challenges: tuple[Challenge, ...], scope: str) -> str | None:
        """The header's value; None where no challenge was made, or only a password would do and there is none."""
        if not challenges:
            return None
        offered = {challenge.scheme: challenge for challenge in reversed(challenges)}
        writes = f":{PUSH}" in scope
        if bearer := offered.get("bearer"):
            credentials = self._identities.of(endpoint.registry, must=writes)
            return f"Bearer {self._tokens.get(endpoint.base, bearer, scope, credentials)}"
        if "basic" in offered:
            return _basic(self._identities.of(endpoint.registry, must=writes))
        raise RegistryProtocol(
            f"{endpoint.registry} wants {plain(' or '.join(offered), 60)} authentication, and only Bearer and Basic "
            "are known for registries"
        )


def _basic(credentials: Credentials | None) -> str | None:
    return credentials.basic if credentials and credentials.username else None


def _with(request: Request, authorization: str | None) -> Request:
    if authorization is None:
        return request
    return replace(request, headers=(*request.headers, ("authorization", authorization)))
