"""Connections that know whom they reached, and leave before a word is said where they must not be.

A name is checked before it is followed, and may by then mean another address (DNS rebinding). So the address that
was really connected to is looked at again, before TLS and before the request.
"""

from __future__ import annotations

import socket
import ssl
from functools import lru_cache
from typing import ClassVar
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from flyte_build.registry.errors import RegistryUntrusted
from flyte_build.registry.prompt import PromptResponse
from flyte_build.registry.seclusion import seclusion

_SIZE = 16


class _Aware:
    """Mixed into urllib3's connections. `most` is the most secluded address that is allowed, None for any."""

    most: ClassVar[int | None] = None
    peer: int | None = None
    host: str

    def _new_conn(self) -> socket.socket:
        connected: socket.socket = super()._new_conn()  # type: ignore[misc]
        self.peer = seclusion(str(connected.getpeername()[0]))
        if self.most is not None and self.peer > self.most:
            connected.close()
            raise RegistryUntrusted(
                f"{self.host} leads to a more private address than the registry that named it",
                hint="this is for the registry's operator to repair; it may also be an attack",
            )
        return connected


@lru_cache(maxsize=8)
def _pools(most: int | None, patience: float) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    answers = type("_Answers", (PromptResponse,), {"patience": patience})
    members = {"most": most, "response_class": answers}
    plain = type("_Plain", (_Aware, HTTPConnection), members)
    secure = type("_Secure", (_Aware, HTTPSConnection), members)
    return {
        "http": type("_PlainPool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("_SecurePool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }


def new_manager(proxy: str, context: ssl.SSLContext | None, most: int | None, patience: float) -> urllib3.PoolManager:
    """Pools of connections, through `proxy` (a URL) unless it is empty: then names are the proxy's to resolve.

    `most` is the most secluded address that may answer, `patience` how many seconds the head of an answer may take.
    """
    if not proxy:
        manager = urllib3.PoolManager(maxsize=_SIZE, ssl_context=context)
        manager.pool_classes_by_scheme = _pools(most, patience)
        return manager
    user = urlsplit(proxy)
    headers = None
    if user.username is not None:
        headers = urllib3.make_headers(proxy_basic_auth=f"{unquote(user.username)}:{unquote(user.password or '')}")
    return urllib3.ProxyManager(
        proxy, maxsize=_SIZE, proxy_headers=headers, ssl_context=context, proxy_ssl_context=context
    )


def peer_of(raw: urllib3.BaseHTTPResponse) -> int | None:
    """How private the address is that this answer comes from, None when it is not known."""
    peer = getattr(raw.connection, "peer", None)
    return peer if isinstance(peer, int) else None
