"""What `doctor` says of proxies, with one that really leads somewhere, or does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.registry.tunnel import tunnel_to
from tests.worker.services import free_port

from flyte_build.registry.proxies import Proxies
from flyte_build.worker.cli.doctor import doctor
from flyte_build.worker.doctor.finding import Finding
from flyte_build.worker.doctor.proxies import proxy_findings, shown

GHCR = {"https://ghcr.example": "the registry"}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def found(places: Mapping[str, str]) -> list[Finding]:
    return list(proxy_findings(places))


def docker(folder: Path, proxies: object) -> None:
    (folder / "config.json").write_text(json.dumps({"auths": {}, "proxies": proxies}))


def test_without_any_a_line_says_so() -> None:
    way, none = found(GHCR)
    assert (way.found, way.fine) == ("the registry ghcr.example is reached without a proxy", True)
    assert (none.found, none.fine) == ("none is set, for this machine or for steps", True)


def test_a_proxy_that_leads_there_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    with tunnel_to({"ghcr.example:443": nobody}, password="s3cret") as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", tunnel.environ["https_proxy"])
        way, steps = found(GHCR)
        assert tunnel.asked == ["ghcr.example:443"]
    assert way.found == f"the registry ghcr.example is reached through http://127.0.0.1:{tunnel.port} (HTTPS_PROXY)"
    assert (way.fine, steps.fine, steps.needed) == (True, False, False)
    assert steps.found.startswith("steps get no proxy: this machine's is not theirs")
    assert '"proxies": {"default"' in steps.what_to_do
    assert "s3cret" not in f"{way}{steps}"


def test_a_proxy_that_wants_another_password_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with tunnel_to({}, password="s3cret") as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", tunnel.environ["https_proxy"].replace("s3cret", "gu3ss"))
        way = found(GHCR)[0]
    assert not way.fine
    assert "407 proxy authentication required" in way.found
    assert "HTTPS_PROXY has to hold the user and the password" in way.what_to_do
    assert "gu3ss" not in f"{way}"


def test_a_proxy_that_does_not_lead_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with tunnel_to({}) as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", tunnel.environ["https_proxy"])
        way = found(GHCR)[0]
    assert "and that fails: the proxy does not let us through (tunnel connection failed: 502" in way.found
    assert way.what_to_do == "correct HTTPS_PROXY, or name ghcr.example in NO_PROXY"


@pytest.mark.parametrize("place", ["https://ghcr.example", "http://plain.example:5000"])
def test_a_proxy_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv("ALL_PROXY", f"http://u:s3cret@127.0.0.1:{free_port()}")
    way = found({place: "the registry"})[0]
    assert (way.fine, way.needed) == (False, True)
    assert "(ALL_PROXY), and that fails: " in way.found
    assert "connection refused" in way.found
    assert "s3cret" not in f"{way}"


def test_what_goes_round_the_proxy_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", ".example")
    way = found(GHCR)[0]
    assert way.fine
    assert "without a proxy, although HTTPS_PROXY is set: loopback never" in way.found


def test_what_is_no_http_proxy_is_one_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://u:s3cret@proxy.example:1")
    (finding,) = found(GHCR)
    assert not finding.fine
    assert "s3cret" not in f"{finding}"


def test_steps_get_what_dockers_configuration_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"httpsProxy": "http://u:s3cret@proxy.example:3128", "noProxy": ".example"}
    docker(tmp_path, {"default": entry, "tcp://other:1": {"httpProxy": "here:1"}})
    steps = found({})[0]
    where = f"as `proxies` of {tmp_path / 'config.json'} says, but not for .example"
    assert (steps.fine, steps.found) == (True, f"steps get http://proxy.example:3128 (httpsProxy), {where}")
    monkeypatch.setenv("DOCKER_HOST", "tcp://other:1")
    assert found({})[0].found.startswith("steps get http://here:1 (httpProxy)")


def test_a_steps_proxy_on_loopback_is_none(tmp_path: Path) -> None:
    docker(tmp_path, {"default": {"httpProxy": "http://localhost:3128"}})
    steps = found({})[0]
    assert (steps.fine, steps.needed) == (False, False)
    assert "its loopback is not this machine's" in steps.what_to_do


@pytest.mark.parametrize("text", ["{", "[]", '{"proxies": 1}', '{"proxies": {"default": {"httpProxy": 1}}}'])
def test_a_configuration_that_cannot_be_read_is_somebody_elses_finding(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert found({})[0].found == "none is set, for this machine or for steps"


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("http://u:p@proxy:3128", "http://proxy:3128"),
        ("http://u:p@ss@proxy:3128/", "http://proxy:3128"),
        ("http://u:s/3cret@proxy:3128", "a proxy whose URL cannot be read"),
        ("http://u:1/2@proxy:3128", "a proxy whose URL cannot be read"),
        ("https://[::1]:1", "https://[::1]:1"),
        ("proxy", "http://proxy"),
    ],
)
def test_of_a_proxy_only_its_place_is_shown(proxy: str, words: str) -> None:
    assert shown(proxy) == words
    assert Proxies.parse({"https_proxy": proxy}).https.endswith(proxy)


def test_the_command_asks_about_its_registry_and_its_endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HTTPS_PROXY", f"http://u:s3cret@127.0.0.1:{free_port()}")
    flags = ("--registry", "ghcr.example/acme", "--endpoint", "https://builds.example")
    done = CliRunner().invoke(doctor, ["--json", *flags])
    said = [one["found"] for one in json.loads(done.stdout)["findings"] if one["part"] == "proxy"]
    assert [" ".join(one.split()[:3]) for one in said[:2]] == [
        "the registry ghcr.example",
        "the endpoint builds.example",
    ]
    assert done.exit_code == 1
    assert "s3cret" not in done.output
