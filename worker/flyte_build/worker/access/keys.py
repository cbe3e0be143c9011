"""The public keys of an OIDC issuer: fetched when they are first needed, kept, and looked for again when they change.

Source: OpenID Connect Discovery 1.0, sections 3 and 4; RFC 7517 (JWKS).
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flyte_build.registry.errors import FlyteBuildError, ServiceStranger, ServiceUnavailable
from flyte_build.registry.options import RegistryOptions
from flyte_build.registry.transport import HttpTransport
from flyte_build.registry.verify import bounded
from flyte_build.registry.wire import Request
from flyte_build.worker.access.rules import is_safe

if TYPE_CHECKING:
    from flyte_build.registry.wire import Transport
    from flyte_build.worker.access.rules import Issuer

_log = logging.getLogger(__name__)
_MAX_ANSWER = 1 << 20
_SECONDS = 10.0
# Keys are believed for so long, then looked for again; while the issuer is away, a day.
_FRESH_SECONDS = 600.0
_STALE_SECONDS = 24 * 3600.0
# A token that names an unknown key makes us look again, but strangers must not make us ask all the time.
_PATIENCE_SECONDS = 10.0


class Issuing:
    """What an issuer publishes: its discovery document and its keys. Safe to share between threads."""

    def __init__(
        self, issuer: Issuer, transport: Transport | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = issuer
        self._transport = transport or HttpTransport(RegistryOptions(ca_bundle=issuer.ca, connect_timeout=_SECONDS))
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: tuple[dict[str, Any], ...] = ()
        self._fetched = self._asked = float("-inf")
        self._document: dict[str, Any] | None = None

    def key(self, kid: str | None) -> dict[str, Any]:
        """The key (JWK) of this id, or the only one there is when a token names none.

        Raises ServiceStranger when the issuer has no such key, ServiceUnavailable when it cannot be asked.
        """
        with self._lock:
            now = self._clock()
            if now - self._fetched > _FRESH_SECONDS:
                self._fetch(now)
            found = self._find(kid)
            if found is None and now - self._asked > _PATIENCE_SECONDS:
                self._fetch(now)
                found = self._find(kid)
        if found is None:
            raise ServiceStranger("the token is signed with a key that its issuer does not publish")
        return found

    def document(self) -> dict[str, Any]:
        """The discovery document, read once. Raises ServiceUnavailable when it cannot be had or is another's."""
        if self._document is None:
            document = self._get(f"{self._issuer.url.rstrip('/')}/.well-known/openid-configuration")
            if document.get("issuer") != self._issuer.url:
                raise ServiceUnavailable(f"the issuer {self._issuer.url} calls itself {document.get('issuer')!r}")
            self._document = document
        return self._document

    def _find(self, kid: str | None) -> dict[str, Any] | None:
        if kid is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.get("kid") == kid), None)

    def _fetch(self, now: float) -> None:
        if now - self._asked <= _PATIENCE_SECONDS and self._keys:
            return
        self._asked = now
        try:
            keys = self._get(self._issuer.keys or str(self.document().get("jwks_uri", ""))).get("keys")
        except FlyteBuildError as error:
            if not self._keys or now - self._fetched > _STALE_SECONDS:
                raise
            _log.warning("%s; its known keys are used", error.sentence)
            return
        self._keys = tuple(key for key in keys if isinstance(key, dict)) if isinstance(keys, list) else ()
        self._fetched = now

    def _get(self, url: str) -> dict[str, Any]:
        parts = urlsplit(url)
        if not is_safe(url):
            raise ServiceUnavailable(f"the issuer {self._issuer.url} publishes its keys at no https URL")
        read = bounded(_MAX_ANSWER, f"what {parts.netloc} publishes")
        request = Request(method="GET", url=url, headers=self._headers(url), read=read, timeout=_SECONDS)
        try:
            answer = self._transport.send(request)
            document = json.loads(answer.body) if answer.status == 200 else None
        except (FlyteBuildError, ValueError) as error:
            raise ServiceUnavailable(f"the keys of {self._issuer.url} cannot be had: {error}") from error
        if not isinstance(document, dict):
            raise ServiceUnavailable(f"the keys of {self._issuer.url} cannot be had: {parts.netloc} has no document")
        return document

    def _headers(self, url: str) -> tuple[tuple[str, str], ...]:
        """A cluster's API server shows its keys to those who log in; nobody else gets our token."""
        named = {urlsplit(one).netloc for one in (self._issuer.url, self._issuer.keys) if one}
        if self._issuer.token_file is None or urlsplit(url).netloc not in named:
            return ()
        try:
            token = self._issuer.token_file.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise ServiceUnavailable(f"the token for {self._issuer.url} cannot be read: {error}") from error
        return (("authorization", f"Bearer {token}"),)
