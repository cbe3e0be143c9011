"""A build service that cannot be spoken to, or does not let us in: why, and what to change."""

from __future__ import annotations

import time

from flyte_build.bundler.endpoint import Endpoint
from flyte_build.registry.errors import (
    RegistryUnavailable,
    ServiceDenied,
    ServiceError,
    ServiceStranger,
    ServiceUnavailable,
)
from flyte_build.registry.translate import TlsHints, translated
from flyte_build.worker.client.bearer import advice, beginning, expiry, place

_HINTS = TlsHints(
    authority="name the authority that issued it: SSL_CERT_FILE or REQUESTS_CA_BUNDLE (PEM)",
    plain="check the port; if it speaks plain http and you trust the network: http://{host}, or --insecure",
)
_CUT_HINT = "check the port, and whether it speaks TLS there: https://{}"


def unreachable(error: Exception, endpoint: Endpoint) -> ServiceError:
    """The error for an exception of urllib3, OpenSSL or the operating system; ServiceUnavailable where later helps."""
    said = translated(error, str(endpoint), _HINTS)
    if not isinstance(said, RegistryUnavailable):
        return ServiceError(said.sentence, hint=said.hint)
    scheme, _, host = str(endpoint).partition("://")
    cut = scheme == "http" and " broke: " in said.sentence
    return ServiceUnavailable(said.sentence, hint=_CUT_HINT.format(host) if cut else said.hint)


def denied(sentence: str, token: str, *, known: bool) -> ServiceDenied:
    """The error for a service that refuses whoever has this token (403), or does not take the token (401).

    ServiceStranger for the latter. What a JWT says of its own time is told by this machine's clock, which may be wrong.
    """
    if known:
        return ServiceDenied(sentence, hint=advice(known=True))
    now, ends, begins = time.time(), expiry(token), beginning(token)
    clock = "by this machine's clock it"
    if ends is not None and ends <= now:
        hint = f"log in again; the token is from {place()}" if place() else advice(known=False)
        return ServiceStranger(f"{sentence} ({clock} ended {length(now - ends)} ago)", hint=hint)
    if begins is not None and begins > now:
        hint = f"wait until then, or {advice(known=False)}"
        return ServiceStranger(f"{sentence} ({clock} begins in {length(begins - now)})", hint=hint)
    return ServiceStranger(sentence, hint=advice(known=False))


def length(seconds: float) -> str:
    """A time in the largest unit of which it has two: "90 seconds", "3 hours"."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if abs(seconds) >= 2 * size:
            return f"{abs(seconds) // size:.0f} {unit}"
    return f"{abs(seconds):.0f} seconds"
