"""How private an address is."""

from __future__ import annotations

import ipaddress
import socket

PUBLIC, PRIVATE, LOCAL = 0, 1, 2
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# A network's own translators (RFC 8215).
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
_COMPATIBLE = ipaddress.ip_network("::/96")


def seclusion(address: str) -> int:
    """PUBLIC for an IP address of the public internet (RFC 6890), PRIVATE, or LOCAL: loopback and link-local."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return LOCAL
    inner = _inside(ip) if isinstance(ip, ipaddress.IPv6Address) else None
    return max(_level(ip), _level(inner)) if inner else _level(ip)


def _level(ip: _Address) -> int:
    if isinstance(ip, ipaddress.IPv6Address) and (ip.ipv4_mapped or ip.sixtofour):
        return PUBLIC  # What is inside decides; Pythons before 3.11.4 call all of 6to4 private.
    if ip.is_loopback or ip.is_link_local or ip.is_unspecified:
        return LOCAL
    is_own = ip in _LOCAL_NAT64
    return PRIVATE if not ip.is_global or ip.is_multicast or is_own else PUBLIC


def _inside(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that this one leads to: mapped (RFC 4291), 6to4 (RFC 3056), NAT64 (RFC 6052)."""
    if ip in _NAT64 or ip in _COMPATIBLE:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour


def addresses_of(host: str) -> tuple[str, ...]:
    """Every address of a host, as this machine resolves it; none when it does not (a proxy may know it)."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(str(entry[4][0]) for entry in found)
