"""How private an address is."""

from __future__ import annotations

import ipaddress
import socket

PUBLIC, PRIVATE, LOCAL = 0, 1, 2


def seclusion(address: str) -> int:
    """PUBLIC for an IP address of the public internet (RFC 6890), PRIVATE, or LOCAL: loopback and link-local."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return LOCAL
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if ip.is_loopback or ip.is_link_local or ip.is_unspecified:
        return LOCAL
    return PRIVATE if not ip.is_global or ip.is_multicast else PUBLIC


def addresses_of(host: str) -> tuple[str, ...]:
    """Every address of a host, as this machine resolves it; none when it does not (a proxy may know it)."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(str(entry[4][0]) for entry in found)
