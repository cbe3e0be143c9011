"""Where a registry may send us."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from flyte_build.registry.errors import RegistryUntrusted
from flyte_build.registry.guard import Guard, seclusion
from flyte_build.registry.names import Registry
from flyte_build.registry.options import RegistryOptions

ADDRESSES = {
    "public.test": ("93.184.216.34",),
    "cdn.test": ("2606:4700::1",),
    "private.test": ("10.0.0.7",),
    "both.test": ("93.184.216.34", "192.168.1.1"),
    "127.0.0.1": ("127.0.0.1",),
    "169.254.169.254": ("169.254.169.254",),
    "0x7f.1": ("127.0.0.1",),
    "10.0.0.8": ("10.0.0.8",),
}
GUARD = Guard(RegistryOptions(plain_http=(Registry("private.test:5000"),)), lambda host: ADDRESSES.get(host, ()))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        pytest.param("https://public.test", "https://cdn.test/x?sig=1", id="public to public"),
        pytest.param("https://private.test", "https://10.0.0.8/x", id="private to private"),
        pytest.param("https://private.test", "https://public.test/x", id="private to public"),
        pytest.param("http://127.0.0.1:5000", "http://127.0.0.1:9000/x", id="loopback to loopback, plain"),
        pytest.param("http://private.test:5000", "http://private.test:5000/x", id="a place that may be plain"),
        pytest.param("https://public.test", "https://unknown.test/x", id="a name that only a proxy may know"),
        pytest.param("https://both.test", "https://both.test/x", id="a name that is also private, to itself"),
    ],
)
def test_these_are_followed(source: str, target: str) -> None:
    GUARD.check(source, target, "a redirect")


@pytest.mark.parametrize(
    ("source", "target"),
    [
        pytest.param("https://public.test", "http://cdn.test/x", id="https to http"),
        pytest.param("https://public.test", "https://private.test/x", id="public to a private name"),
        pytest.param("https://public.test", "https://10.0.0.8/x", id="public to a private address"),
        pytest.param("https://public.test", "https://both.test/x", id="public to a name that is also private"),
        pytest.param("https://public.test", "https://127.0.0.1/x", id="public to loopback"),
        pytest.param("https://public.test", "http://127.0.0.1/x", id="public to plain loopback"),
        pytest.param("https://public.test", "https://0x7f.1/x", id="public to loopback in disguise"),
        pytest.param("https://private.test", "https://127.0.0.1/x", id="private to loopback"),
        pytest.param("https://private.test", "https://169.254.169.254/x", id="private to a metadata service"),
        pytest.param("https://private.test", "http://169.254.169.254/x", id="the same in plain http"),
        pytest.param("http://127.0.0.1:5000", "http://public.test/x", id="loopback to plain http elsewhere"),
        pytest.param("https://169.254.169.254", "http://127.0.0.1/x", id="link-local to plain loopback"),
        pytest.param("http://127.0.0.1:5000", "ftp://127.0.0.1:5000/x", id="loopback to another scheme"),
        pytest.param("https://public.test", "file:///etc/passwd", id="another scheme"),
        pytest.param("https://public.test", "/token", id="no absolute URL"),
        pytest.param("https://public.test", "https://evil.test\\@public.test/token", id="a host that is read two ways"),
        pytest.param("https://public.test", "", id="nothing"),
    ],
)
def test_these_are_not(source: str, target: str) -> None:
    with pytest.raises(RegistryUntrusted, match=f"^{urlsplit(source).netloc} names "):
        GUARD.check(source, target, "a redirect")


@pytest.mark.parametrize(
    ("address", "level"),
    [
        ("8.8.8.8", 0),
        ("10.1.1.1", 1),
        ("100.64.0.1", 1),
        ("224.0.0.1", 1),
        ("fd00::1", 1),
        ("127.0.0.1", 2),
        ("::1", 2),
        ("::ffff:127.0.0.1", 2),
        ("::ffff:8.8.8.8", 0),
        ("::127.0.0.1", 2),
        ("64:ff9b::8.8.8.8", 0),
        ("64:ff9b::10.0.0.1", 1),
        ("64:ff9b::169.254.169.254", 2),
        ("64:ff9b:1::7f00:1", 1),
        ("2002:7f00:1::1", 2),
        ("2002:0808:0808::1", 0),
        ("2606:4700::1111", 0),
        ("fe80::1%eth0", 2),
        ("0.0.0.0", 2),
        ("nonsense", 2),
    ],
)
def test_addresses_have_a_level_of_seclusion(address: str, level: int) -> None:
    assert seclusion(address) == level
