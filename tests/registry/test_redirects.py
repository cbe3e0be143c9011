"""Where a registry sends us, and what we carry there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from tests.registry.doubles import (
    QUICK,
    FaultyRegistry,
    Says,
    faulty_registry,
)

from flyte_build.registry.errors import (
    RegistryProtocol,
    RegistryUntrusted,
)
from flyte_build.registry.guard import Guard
from flyte_build.registry.redirects import Redirecting, same_origin
from flyte_build.registry.seclusion import PUBLIC
from flyte_build.registry.transport import HttpTransport
from flyte_build.registry.wire import Request, Response


class Elsewhere:
    """The registry of these tests is on loopback; this makes it answer from another kind of place."""

    def __init__(self, level: int | None) -> None:
        self._inner = HttpTransport(QUICK, {})
        self._level = level

    def send(self, request: Request) -> Response:
        answer = self._inner.send(request)
        return answer if self._level is None else replace(answer, seclusion=self._level)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param("https://r.test/x?y", True, id="another path"),
        pytest.param("https://r.test:443/", True, id="its port, written"),
        pytest.param("https://R.test/", True, id="its name in capitals"),
        pytest.param("http://r.test:443/", False, id="another scheme"),
        pytest.param("https://cdn.r.test/", False, id="another host"),
        pytest.param("https://r.test:444/", False, id="another port"),
    ],
)
def test_an_origin_is_scheme_host_and_port(other: str, same: bool) -> None:
    assert same_origin("https://r.test/v2/", other) is same


class TestRedirects:
    """A table says what names resolve to."""

    def follow(
        self,
        faulty: FaultyRegistry,
        location: str,
        addresses: Mapping[str, tuple[str, ...]],
        level: int | None = None,
    ) -> bytes:
        faulty.says("/from", Says(307, b"", (("location", location),)))
        guard = Guard(QUICK, lambda host: addresses.get(host, ("127.0.0.1",)))
        request = Request(method="GET", url=f"{faulty.url}/from", headers=(("authorization", "Basic s3cret"),))
        return Redirecting(Elsewhere(level), guard).send(request).body

    def test_the_same_place_still_sees_who_we_are(self, faulty: FaultyRegistry) -> None:
        faulty.says("/to", Says(200, b"here"))
        assert self.follow(faulty, "/to", {}) == b"here"
        assert faulty.requests("/to")[0].headers["authorization"] == "Basic s3cret"

    def test_another_place_does_not(self, faulty: FaultyRegistry) -> None:
        with faulty_registry() as other:
            other.says("/to", Says(200, b"there"))
            assert self.follow(faulty, f"{other.url}/to?X-Signature=1", {}) == b"there"
            assert "authorization" not in other.requests("/to")[0].headers

    @pytest.mark.parametrize("target", ["https://169.254.169.254/?t=s3cret", "https://10.1.1.1/", "http://10.1.1.1/"])
    def test_a_private_place_is_refused(self, faulty: FaultyRegistry, target: str) -> None:
        addresses = {
            "169.254.169.254": ("169.254.169.254",),
            "10.1.1.1": ("10.1.1.1",),
        }
        with pytest.raises(RegistryUntrusted, match="as a redirect, which is") as caught:
            self.follow(faulty, target, addresses, PUBLIC)
        assert "s3cret" not in str(caught.value)

    def test_a_name_that_means_another_place_when_it_is_followed_hears_nothing(self, faulty: FaultyRegistry) -> None:
        with faulty_registry() as victim:
            location = f"http://localhost:{victim.port}/to"
            with pytest.raises(RegistryUntrusted, match="localhost leads to a more private address"):
                self.follow(faulty, location, {"localhost": ("93.184.216.34",)}, PUBLIC)
            assert victim.seen == []

    def test_what_a_registry_is_follows_from_who_answered_not_from_its_name(self, faulty: FaultyRegistry) -> None:
        addresses = {"127.0.0.1": ("10.1.1.1",), "cdn.test": ("10.1.1.2",)}
        with pytest.raises(RegistryUntrusted, match="as a redirect, which is a more private address"):
            self.follow(faulty, "https://cdn.test/", addresses, PUBLIC)

    @pytest.mark.parametrize(
        "location",
        [
            pytest.param("http://[", id="half an address"),
            pytest.param("https://a:b/", id="a port that is none"),
            pytest.param("https://", id="no host"),
            pytest.param("http://evil.test\\@127.0.0.1/", id="a backslash, which parsers understand differently"),
            pytest.param("http://127.0.0.1\\@evil.test/", id="the other way round"),
            pytest.param("http://alice@evil.test/", id="a user"),
            pytest.param("http://evil.test%2e/", id="an escape in the host"),
            pytest.param("http://evil.test ;/", id="a space in the host"),
            pytest.param("http://127.0.0.\xb9/", id="another alphabet"),
        ],
    )
    def test_what_is_no_url_is_refused(self, faulty: FaultyRegistry, location: str) -> None:
        # Before anybody compares its host with one that is trusted.
        with pytest.raises(RegistryProtocol, match="no URL"):
            self.follow(faulty, location, {})

    def test_what_may_have_an_effect_is_not_sent_elsewhere(self, faulty: FaultyRegistry) -> None:
        faulty.says("/from", Says(307, b"", (("location", "/to"),)))
        request = Request(method="PUT", url=f"{faulty.url}/from", body=b"content")
        assert Redirecting(Elsewhere(None), Guard(QUICK)).send(request).status == 307
        assert faulty.requests("/to") == []

    def test_an_answer_that_leads_nowhere_stands(self, faulty: FaultyRegistry) -> None:
        faulty.says("/from", Says(307, b""))
        request = Request(method="GET", url=f"{faulty.url}/from")
        assert Redirecting(Elsewhere(None), Guard(QUICK)).send(request).status == 307

    def test_a_loop_ends(self, faulty: FaultyRegistry) -> None:
        with pytest.raises(RegistryProtocol, match="redirects more than 5 times"):
            self.follow(faulty, "/from", {})
