"""Which proxy a URL goes through: the variables that curl and Go read, as Go's `httpproxy` reads them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from flyte_build.registry.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxies:
    """The proxy URL for each scheme (empty: none) and the hosts that bypass it."""

    # A proxy's URL may hold a password.
    http: str = field(default="", repr=False)
    https: str = field(default="", repr=False)
    bypass: tuple[str, ...] = ()

    @classmethod
    def parse(cls, environ: Mapping[str, str]) -> Proxies:
        """From `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, in lower or upper case.

        Raises InvalidInput for a kind of proxy that is not HTTP.
        """
        rest = _variable(environ, "all_proxy")
        bypass = (part.strip().lower() for part in _variable(environ, "no_proxy").split(","))
        return cls(
            http=_checked("http_proxy", _variable(environ, "http_proxy") or rest),
            https=_checked("https_proxy", _variable(environ, "https_proxy") or rest),
            bypass=tuple(part for part in bypass if part),
        )

    def of(self, url: str) -> str:
        """The proxy for this URL, or an empty string. Loopback is never proxied."""
        parts = urlsplit(url)
        proxy = self.https if parts.scheme == "https" else self.http
        host = parts.hostname or ""
        if not proxy or is_loopback(host) or any(_matches(rule, host, parts.port) for rule in self.bypass):
            return ""
        return proxy


def _variable(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def _checked(name: str, url: str) -> str:
    if not url:
        return ""
    url = url if "://" in url else f"http://{url}"
    scheme = url.partition(":")[0].lower()
    if scheme not in ("http", "https"):
        raise InvalidInput(
            f"{name} asks for a {scheme} proxy, which cannot be used to reach registries",
            hint="set an http:// or https:// proxy, or name the registry in no_proxy",
        )
    return url


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _matches(rule: str, host: str, port: int | None) -> bool:
    if rule == "*":
        return True
    if "/" in rule:
        return _in_network(rule, host)
    name, colon, number = rule.rpartition(":")
    if colon and number.isdecimal() and ":" not in name.strip("[]"):
        if port != int(number):
            return False
        rule = name
    suffix = rule.strip("[]").removeprefix("*").lstrip(".")
    return bool(suffix) and (host == suffix or host.endswith(f".{suffix}"))


def _in_network(rule: str, host: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return False
