"""One request, one answer: proxies, and texts that show nothing."""

from __future__ import annotations

import pytest
from tests.registry.doubles import QUICK, FaultyRegistry, Known, Says

from flyte_build.registry.client import RegistryClient
from flyte_build.registry.errors import RegistryError, RegistryUnavailable
from flyte_build.registry.names import ImageName, Registry
from flyte_build.registry.options import RegistryOptions
from flyte_build.registry.transport import HttpTransport
from flyte_build.registry.wire import Request, Response

# A name that only the proxy knows.
HOST = Registry.parse("registry.invalid:5000")
PLAIN = RegistryOptions(plain_http=(HOST,), backoff=0.001)


def through(proxy: str, options: RegistryOptions) -> object:
    environ = {"http_proxy": proxy, "https_proxy": proxy}
    return RegistryClient(Known(), options, environ).find(ImageName.parse(f"{HOST}/acme/x:v1"))


def test_a_proxy_is_asked_as_its_user(faulty: FaultyRegistry) -> None:
    faulty.says(f"http://{HOST}/v2/", Says(200, b"{}"))
    assert through(f"http://u:p%40ss@127.0.0.1:{faulty.port}", PLAIN) is None
    assert [seen.path for seen in faulty.seen] == [f"http://{HOST}/v2/", f"http://{HOST}/v2/acme/x/manifests/v1"]
    assert {seen.headers["proxy-authorization"] for seen in faulty.seen} == {"Basic dTpwQHNz"}


def test_a_proxy_that_refuses_is_one_sentence_without_its_password(faulty: FaultyRegistry) -> None:
    with pytest.raises(RegistryUnavailable) as caught:
        through(f"http://u:s3cret@127.0.0.1:{faulty.port}", QUICK)
    assert str(caught.value).startswith(f"cannot reach https://{HOST}: the proxy does not let us through")
    assert "s3cret" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize("url", ["http://a..b/", f"http://{'a' * 64}.test/", "http://127.0.0.1:0/"])
def test_a_place_that_cannot_be_is_an_error_of_ours(url: str) -> None:
    with pytest.raises(RegistryError):
        HttpTransport(QUICK, {}).send(Request(method="GET", url=url))


def test_no_text_of_a_request_or_an_answer_shows_what_it_carries() -> None:
    request = Request(
        method="GET", url="https://a/b?sig=s3cret", headers=(("authorization", "Basic s3cret"),), body=b"s3cret"
    )
    answer = Response(status=200, headers={"location": "s3cret"}, body=b"s3cret", url="https://a/?sig=s3cret")
    assert "s3cret" not in f"{request!r}{answer!r}"
