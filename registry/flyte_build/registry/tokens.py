"""Bearer tokens (CNCF distribution, "Token Authentication Specification" and "Oauth2 Token Authentication")."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode, urlsplit

from flyte_build.registry.challenge import Challenge
from flyte_build.registry.errors import RegistryProtocol, RegistryUnavailable
from flyte_build.registry.failures import ANONYMOUS, refusal
from flyte_build.registry.guard import Guard
from flyte_build.registry.identity import Credentials
from flyte_build.registry.options import RegistryOptions
from flyte_build.registry.verify import ANSWER_LIMIT, bounded
from flyte_build.registry.wire import Request, Response, Transport

_CLIENT = "flyte-build"
# The specification's default, and the least that servers give to clients that do not read `expires_in`.
_LIFE = 60.0
_TROUBLE_HINT = "its token service is in trouble or cut off from here: try again later, or look at the proxy settings"


@dataclass(frozen=True, slots=True)
class TokenKey:
    """What a token is good for: `scope` is `repository:<path>:<actions>`, actions joined with commas, or several of
    these with spaces between them.

    The registry belongs to it: else a hostile one that names another's token service would be handed that one's token.
    """

    base: str
    realm: str
    service: str
    scope: str


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    expires: float


class Tokens:
    """Asks token services, and remembers what they gave until nine tenths of its life are over."""

    def __init__(
        self, transport: Transport, options: RegistryOptions, guard: Guard, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._transport = transport
        self._options = options
        self._guard = guard
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[TokenKey, _Token] = {}

    def get(self, base: str, challenge: Challenge, scope: str, credentials: Credentials | None) -> str:
        """A token for `scope` from the service that the registry at `base` names.

        Raises RegistryDenied, RegistryUnavailable, RegistryProtocol; RegistryUntrusted for a service on plain http
        or on a private address that is not the registry's, before anything is sent there.
        """
        key = _key(base, challenge, scope)
        with self._lock:
            kept = self._kept.get(key)
        if kept and kept.expires > self._clock():
            return kept.value
        most = self._guard.check(base, key.realm, "the token service")
        request = _request(key, credentials, self._options.token_timeout)
        try:
            response = self._transport.send(replace(request, seclusion=most))
        except (RegistryUnavailable, RegistryProtocol) as error:
            raise type(error)(f"{_action(key)}: {error.sentence}", hint=_TROUBLE_HINT) from error
        token = _decode(response, key, str(credentials or ANONYMOUS), self._clock())
        with self._lock:
            self._kept[key] = token
        return token.value

    def forget(self, base: str, challenge: Challenge, scope: str) -> None:
        """Drops what is remembered: the registry did not like it."""
        with self._lock:
            self._kept.pop(_key(base, challenge, scope), None)


def _key(base: str, challenge: Challenge, scope: str) -> TokenKey:
    return TokenKey(base, challenge.get("realm"), challenge.get("service"), scope)


def _request(key: TokenKey, credentials: Credentials | None, timeout: float) -> Request:
    read = bounded(ANSWER_LIMIT, "a token")
    wanted = {"service": key.service, "scope": key.scope, "client_id": _CLIENT}
    if credentials and credentials.identity_token:
        form = {"grant_type": "refresh_token", **wanted, "refresh_token": credentials.identity_token}
        return Request(
            method="POST",
            url=key.realm,
            headers=(("content-type", "application/x-www-form-urlencoded"),),
            body=urlencode(form).encode(),
            read=read,
            timeout=timeout,
            repeatable=True,
        )
    scopes = [("scope", scope) for scope in key.scope.split()]
    query = urlencode([("service", key.service), *scopes] if key.service else scopes)
    return Request(
        method="GET",
        url=f"{key.realm}{'&' if urlsplit(key.realm).query else '?'}{query}",
        headers=(("authorization", credentials.basic),) if credentials else (),
        read=read,
        timeout=timeout,
    )


def _action(key: TokenKey) -> str:
    return f"cannot get a token of {urlsplit(key.base).netloc} for {key.scope}"


def _decode(response: Response, key: TokenKey, identity: str, now: float) -> _Token:
    host = urlsplit(key.realm).netloc.rpartition("@")[2]
    action = _action(key)
    if response.status != 200:
        raise refusal(action, host, response, identity, urlsplit(key.base).netloc)
    try:
        document = json.loads(response.body)
        value = document.get("token") or document.get("access_token")
        life = document.get("expires_in") or _LIFE
    except (ValueError, RecursionError, AttributeError):
        value, life = None, _LIFE
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise RegistryProtocol(f"{action}: {host} answered without one")
    seconds = float(life) if isinstance(life, (int, float)) and 0 < life < 10**9 else _LIFE
    return _Token(value, now + seconds * 0.9)
