"""Proxies, as curl's and Go's variables mean them."""

from __future__ import annotations

import pytest

from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.proxies import Proxies

P = "http://proxy:3128"


@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        pytest.param({}, "https://ghcr.io/v2/", "", id="none is set"),
        pytest.param({"https_proxy": P}, "https://ghcr.io/v2/", P, id="lower case"),
        pytest.param({"HTTPS_PROXY": P}, "https://ghcr.io/v2/", P, id="upper case"),
        pytest.param({"https_proxy": P}, "http://reg.corp/v2/", "", id="only for its scheme"),
        pytest.param({"ALL_PROXY": P}, "http://reg.corp/v2/", P, id="for every scheme"),
        pytest.param({"https_proxy": "proxy:3128"}, "https://ghcr.io/", P, id="without a scheme it is http"),
        pytest.param({"http_proxy": P}, "http://localhost:5000/", "", id="never for localhost"),
        pytest.param({"http_proxy": P}, "http://127.0.0.1:5000/", "", id="never for 127.0.0.1"),
        pytest.param({"http_proxy": P}, "http://[::1]:5000/", "", id="never for ::1"),
        pytest.param({"https_proxy": P, "no_proxy": "*"}, "https://ghcr.io/", "", id="bypassed by everything"),
        pytest.param({"https_proxy": P, "no_proxy": "ghcr.io"}, "https://ghcr.io/", "", id="bypassed by name"),
        pytest.param({"https_proxy": P, "no_proxy": "corp"}, "https://a.corp/", "", id="bypassed by domain"),
        pytest.param({"https_proxy": P, "no_proxy": " .corp , x"}, "https://a.corp/", "", id="bypassed by .domain"),
        pytest.param({"https_proxy": P, "no_proxy": "*.corp"}, "https://a.corp/", "", id="bypassed by *.domain"),
        pytest.param({"https_proxy": P, "no_proxy": "hcr.io"}, "https://ghcr.io/", P, id="a part of a label is not it"),
        pytest.param({"https_proxy": P, "no_proxy": "10.0.0.0/8"}, "https://10.1.2.3/", "", id="bypassed by network"),
        pytest.param({"https_proxy": P, "no_proxy": "10.0.0.0/8"}, "https://11.1.2.3/", P, id="another network"),
        pytest.param({"https_proxy": P, "no_proxy": "a.corp:444"}, "https://a.corp:444/", "", id="bypassed by port"),
        pytest.param({"https_proxy": P, "no_proxy": "a.corp:444"}, "https://a.corp:445/", P, id="another port"),
    ],
)
def test_a_url_goes_through_its_proxy(environ: dict[str, str], url: str, proxy: str) -> None:
    assert Proxies.parse(environ).of(url) == proxy


def test_a_kind_of_proxy_that_is_not_http_is_refused() -> None:
    with pytest.raises(InvalidInput, match="asks for a socks5 proxy"):
        Proxies.parse({"all_proxy": "socks5://u:s3cret@p:1"})


def test_a_proxys_password_is_not_shown() -> None:
    assert "s3cret" not in repr(Proxies.parse({"https_proxy": "http://u:s3cret@p:1"}))
