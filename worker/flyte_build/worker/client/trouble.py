"""A build service that cannot be spoken to: why, and what to change."""

from __future__ import annotations

from flyte_build.bundler.endpoint import Endpoint
from flyte_build.registry.errors import RegistryUnavailable, ServiceError, ServiceUnavailable
from flyte_build.registry.translate import TlsHints, translated

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
