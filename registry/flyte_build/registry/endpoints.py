"""Where a registry's API is, and whether it is one (OCI distribution-spec, "Determining Support")."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from flyte_build.registry.challenge import Challenge, parse_challenges
from flyte_build.registry.errors import RegistryMissing, RegistryProtocol
from flyte_build.registry.failures import ANONYMOUS, is_page, refusal
from flyte_build.registry.names import DOCKER_HUB, Registry
from flyte_build.registry.options import RegistryOptions
from flyte_build.registry.redirects import same_origin
from flyte_build.registry.wire import Request, Response, Transport

_HUB_API = "registry-1.docker.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """`base` is the URL before `/v2/`; `challenges` are the ways in that it offers, none when it asks for none."""

    registry: Registry
    base: str
    challenges: tuple[Challenge, ...] = ()


def base_of(registry: Registry, options: RegistryOptions) -> str:
    """The URL at which a registry is asked first."""
    host = _HUB_API if registry.host == DOCKER_HUB else registry.host
    return f"{'http' if options.allows_plain(registry) else 'https'}://{host}"


class Endpoints:
    """Asks each registry once whether it is one. Everything said about it later rests on that answer."""

    def __init__(self, transport: Transport, options: RegistryOptions) -> None:
        self._transport = transport
        self._options = options
        self._lock = threading.Lock()
        self._known: dict[Registry, Endpoint] = {}

    def of(self, registry: Registry) -> Endpoint:
        """Raises RegistryProtocol for what is not a registry, and what the transport raises."""
        with self._lock:
            if known := self._known.get(registry):
                return known
        # Outside the lock: one slow registry must not hold up the others. Asking twice is harmless.
        found = self._ask(registry)
        with self._lock:
            return self._known.setdefault(registry, found)

    def _ask(self, registry: Registry) -> Endpoint:
        base = base_of(registry, self._options)
        response = self._ping(base)
        if base.startswith("http:") and response.status == 400 and b"HTTPS" in response.body.upper():
            # Go's and nginx's answer to plain http on a port with TLS. Nothing secret has been said yet.
            base = base.replace("http:", "https:", 1)
            response = self._ping(base)
        asks = response.status == 401 and same_origin(base, response.url)
        challenges = parse_challenges(response.header("www-authenticate")) if asks else ()
        if is_page(response) and not challenges:
            raise RegistryProtocol(
                f"{registry} is not an OCI registry: {base}/v2/ answered {response.status} with an HTML page",
                hint="check the host; a login page or a proxy may be in the way",
            )
        if response.status != 200 and not challenges:
            no = refusal(f"cannot use {registry} as an OCI registry", base.partition("://")[2], response, ANONYMOUS)
            if isinstance(no, RegistryMissing):
                # Nobody has been asked about a name yet.
                raise RegistryProtocol(no.sentence, hint="check the host: whatever answers there is not a registry")
            raise no
        return Endpoint(registry=registry, base=base, challenges=challenges)

    def _ping(self, base: str) -> Response:
        return self._transport.send(Request(method="GET", url=f"{base}/v2/"))
