"""Where a registry may send us.

A registry chooses the URLs of its redirects, of its uploads and of its token service. A hostile one would choose an
address that only we can reach: a cloud's metadata service, a neighbour on the cluster's network, a service on this
machine's loopback.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from flyte_build.registry.errors import InvalidName, RegistryUntrusted
from flyte_build.registry.names import Registry
from flyte_build.registry.options import RegistryOptions
from flyte_build.registry.redact import plain
from flyte_build.registry.seclusion import PUBLIC, addresses_of, seclusion

Resolve = Callable[[str], tuple[str, ...]]
_PLAIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{0,5})?(?:[/?].*)?", re.I | re.S)
__all__ = ["Guard", "addresses_of", "is_plain", "seclusion"]


def is_plain(url: str) -> bool:
    """Whether everybody reads the same host in this URL. Parsers differ about user information, backslashes, white
    space and escapes there (`https://evil\\@registry/`), and what one checks is not where the other goes.
    """
    return _PLAIN.fullmatch(url) is not None


class Guard:
    """Says which URLs a registry may name: nothing more secluded than itself.

    How secluded a registry is follows from the address that answered (`saw`), not from what its name means later.
    """

    def __init__(self, options: RegistryOptions, resolve: Resolve = addresses_of) -> None:
        self._options = options
        self._resolve = resolve
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}

    def saw(self, url: str, level: int | None) -> None:
        """Remembers how secluded the server of `url` was when it answered; the least secluded answer counts."""
        host = urlsplit(url).hostname or ""
        if level is not None:
            with self._lock:
                self._seen[host] = min(level, self._seen.get(host, level))

    def check(self, source: str, target: str, what: str) -> int:
        """How secluded the address may be that answers for `target`, for the connection to check again.

        Raises RegistryUntrusted unless the server at `source` may send us to `target` (absolute URLs). `what` names
        the target in the sentence: "a redirect", "the token service".
        """
        here = urlsplit(source)
        try:
            there = urlsplit(target)
        except ValueError:
            there = urlsplit("")
        if not there.hostname or not is_plain(target):
            raise RegistryUntrusted(f"{here.netloc} names {plain(target, 60) or 'nothing'} as {what}, which is no URL")
        sentence = f"{here.netloc} names {plain(f'{there.scheme}://{there.netloc}')} as {what}, which is"
        if there.scheme != "https" and not (there.scheme == "http" and self._plain(here.netloc, there.netloc)):
            raise RegistryUntrusted(f"{sentence} not https", hint="this is for the registry's operator to repair")
        most = self._source(here.hostname or "")
        if there.hostname != here.hostname and self._target(there.hostname) > most:
            raise RegistryUntrusted(
                f"{sentence} a more private address than the registry's own",
                hint="this is for the registry's operator to repair; it may also be an attack",
            )
        return most

    def _plain(self, here: str, there: str) -> bool:
        try:
            origin, goal = Registry.parse(here), Registry.parse(there)
        except InvalidName:
            return False
        # Loopback may be plain only for a registry that is itself there: anybody else means our neighbours.
        return goal in self._options.plain_http or (origin.is_loopback and goal.is_loopback)

    def _source(self, host: str) -> int:
        with self._lock:
            if host in self._seen:
                return self._seen[host]
        # A name with a public and a private address must not be trusted as the private one.
        return min((seclusion(address) for address in self._resolve(host)), default=PUBLIC)

    def _target(self, host: str) -> int:
        return max((seclusion(address) for address in self._resolve(host)), default=PUBLIC)
