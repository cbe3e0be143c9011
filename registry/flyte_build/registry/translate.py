"""Exceptions of urllib3, OpenSSL and the operating system, as errors of ours."""

from __future__ import annotations

import ssl

from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationValueError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from flyte_build.registry.errors import RegistryError, RegistryProtocol, RegistryUnavailable, RegistryUntrusted
from flyte_build.registry.redact import plain


def translated(error: Exception, origin: str) -> RegistryError:
    """The error for an exception of urllib3, OpenSSL or the operating system; `origin` is scheme://host:port."""
    if isinstance(error, LocationValueError):
        return RegistryProtocol(f"{plain(origin)} is no place that can be reached")
    if isinstance(error, ProxyError):
        reason = _reason(error.original_error)
        return RegistryUnavailable(f"cannot reach {origin}: the proxy does not let us through ({reason})")
    if isinstance(error, (SSLError, ssl.SSLError)):
        return _tls(error, origin)
    if isinstance(error, NewConnectionError):
        return RegistryUnavailable(
            f"cannot reach {origin}: {_reason(error)}", hint="check the host, that it is up, and your network"
        )
    if isinstance(error, (ReadTimeoutError, ConnectTimeoutError)):
        return RegistryUnavailable(f"{origin} did not answer in time")
    return RegistryUnavailable(f"the connection to {origin} broke: {_reason(error)}")


def _tls(error: Exception, origin: str) -> RegistryError:
    cause = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return RegistryUntrusted(
            f"the certificate of {origin} is not trusted: {plain(cause.verify_message)}",
            hint="name the authority that issued it: SSL_CERT_FILE or the CA bundle setting",
        )
    reason = getattr(cause, "reason", "") or "the handshake failed"
    return RegistryUntrusted(
        f"cannot speak TLS with {origin}: {plain(str(reason)).replace('_', ' ').lower()}",
        hint="if this registry speaks plain http, allow that explicitly",
    )


def _reason(error: BaseException | None) -> str:
    """The operating system's words, found down the chain; urllib3's own hold objects and URLs."""
    if isinstance(error, NameResolutionError):
        return "its name does not resolve"
    seen: BaseException | None = error
    for _ in range(5):
        if isinstance(seen, OSError) and seen.strerror:
            return plain(seen.strerror).lower()
        inner = next((part for part in seen.args if isinstance(part, BaseException)), None) if seen else None
        seen = inner or (seen.__cause__ or seen.__context__ if seen else None)
    return "it was cut off" if error is None else _words(type(error).__name__)


def _words(name: str) -> str:
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
