"""Exceptions of urllib3, OpenSSL and the operating system, as errors of ours."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

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

_AUTHORITY_HINT = (
    "name the authority that issued it: FLYTE_BUILD_CA_BUNDLE or SSL_CERT_FILE (PEM), "
    "or ~/.config/docker/certs.d/{host}/ca.crt"
)
_PROXY_HINT = "`flyte-build doctor` says which proxy it is; NO_PROXY names what is reached without one"
_PLAIN_HINT = "if it speaks plain http and you trust the network: FLYTE_BUILD_PLAIN_HTTP={host}"
_AGAIN_HINT = "try again; if it stays so, a proxy or a firewall may be in the way"
# OpenSSL's X509_V_ERR_… (openssl-verification-options(1ssl)): what no authority of ours would mend.
_CERTIFICATE_HINTS = {
    9: "check this machine's clock",
    10: "its operator has to renew it; if it is new, check this machine's clock",
    62: "use the host name that the certificate is for",
    64: "use the host name that the certificate is for",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsHints:
    """What to do about an authority that is not known, and where no TLS is spoken; `{host}` is the host in question."""

    authority: str = _AUTHORITY_HINT
    plain: str = _PLAIN_HINT


def translated(error: Exception, origin: str, hints: TlsHints | None = None) -> RegistryError:
    """The error for an exception of urllib3, OpenSSL or the operating system; `origin` is scheme://host:port.

    `hints` are a registry's, if not given.
    """
    if isinstance(error, LocationValueError):
        return RegistryProtocol(f"{plain(origin)} is no place that can be reached")
    if isinstance(error, ProxyError):
        reason = _reason(error.original_error)
        return RegistryUnavailable(
            f"cannot reach {origin}: the proxy does not let us through ({reason})", hint=_PROXY_HINT
        )
    if isinstance(error, (SSLError, ssl.SSLError)):
        return _tls(error, origin, hints or TlsHints())
    if isinstance(error, NewConnectionError):
        return RegistryUnavailable(
            f"cannot reach {origin}: {_reason(error)}",
            hint="check host and port, that it is up, and your network",
        )
    if isinstance(error, (ReadTimeoutError, ConnectTimeoutError)):
        return RegistryUnavailable(f"{origin} did not answer in time", hint=_AGAIN_HINT)
    return RegistryUnavailable(f"the connection to {origin} broke: {_reason(error)}", hint=_AGAIN_HINT)


def _tls(error: Exception, origin: str, hints: TlsHints) -> RegistryError:
    host = origin.partition("://")[2]
    cause = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return RegistryUntrusted(
            f"the certificate of {origin} is not trusted: {plain(cause.verify_message)}",
            hint=_CERTIFICATE_HINTS.get(cause.verify_code, hints.authority.format(host=host)),
        )
    reason = getattr(cause, "reason", "") or "the handshake failed"
    return RegistryUntrusted(
        f"cannot speak TLS with {origin}: {plain(str(reason)).replace('_', ' ').lower()}",
        hint=hints.plain.format(host=host),
    )


def _reason(error: BaseException | None) -> str:
    """The operating system's words, found down the chain; urllib3's own hold objects and URLs."""
    if isinstance(error, NameResolutionError):
        return "its name does not resolve"
    seen: BaseException | None = error
    for _ in range(5):
        if isinstance(seen, OSError) and seen.strerror:
            return plain(seen.strerror).lower()
        if isinstance(seen, OSError) and seen.args and isinstance(seen.args[0], str):
            return plain(seen.args[0]).lower()
        inner = next((part for part in seen.args if isinstance(part, BaseException)), None) if seen else None
        seen = inner or (seen.__cause__ or seen.__context__ if seen else None)
    return "it was cut off" if error is None else _words(type(error).__name__)


def _words(name: str) -> str:
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
