"""What `doctor` says of a build service: real ones, and what stands in their place by mistake."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner
from tests.registry.servers import Authority
from tests.worker.conftest import Served
from tests.worker.guarded import Guarded
from tests.worker.services import free_port

from flyte_build.builder.recipe import RECIPE
from flyte_build.registry.descriptors import Platform
from flyte_build.worker.cli.doctor import doctor
from flyte_build.worker.doctor.asked import AskedService
from flyte_build.worker.doctor.finding import Finding
from flyte_build.worker.doctor.service import service_findings

pytestmark = pytest.mark.real
BOTH = (Platform.parse("linux/amd64"), Platform.parse("linux/arm64"))
ME = {"who": "me", "expires": None, "projects": ["*"], "registry": "r.example", "release": "9.9", "workers": []}


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKEN", "TOKEN_FILE", "TOKEN_AUDIENCE"):
        monkeypatch.delenv(f"FLYTE_BUILD_{name}", raising=False)


def found(url: str, project: str = "p", said: bool = True) -> dict[str, Finding]:
    asked = AskedService(endpoint=url, scope=(project, "development"), platforms=BOTH[:1], said=said)
    return {finding.part: finding for finding in service_findings(asked)}


def is_fine(findings: Mapping[str, Finding]) -> dict[str, bool]:
    return {part: finding.fine for part, finding in findings.items()}


@contextmanager
def pretending(answers: Mapping[str, object], ahead: float = 0.0) -> Iterator[str]:
    """A server that answers these documents by path, 404 for others, by a clock that is wrong."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = answers.get(self.path.partition("?")[0])
            body = json.dumps(document).encode()
            self.send_response(404 if document is None else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate((timestamp or time.time()) + ahead, usegmt=True)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_service_that_is_well_says_all_that_a_client_needs(served: Served) -> None:
    findings = found(served.url)
    assert is_fine(findings) == dict.fromkeys(("service", "token", "project", "platforms", "version"), True)
    assert findings["service"].found == f"{served.url} is a build service, and lacks nothing"
    assert findings["token"].found == "it knows us as anyone on this machine"
    assert f"(recipe {RECIPE})" in findings["version"].found


def test_what_it_lacks_is_named_with_what_follows(serving: Callable[..., Served], tmp_path: Path) -> None:
    database, store = f"sqlite:///{tmp_path / 'shared.db'}", str(tmp_path / "store")
    served = serving(no_worker=True, registry="127.0.0.1:1", database=database, store=store)
    findings = found(served.url)
    assert findings["service"].found.endswith("and lacks: worker, registry")
    assert "builds wait until a worker is started" in findings["service"].what_to_do
    assert "until the service reaches its registry" in findings["service"].what_to_do
    assert (findings["platforms"].found, findings["platforms"].fine) == ("no worker takes builds", False)


def test_it_says_who_we_are_and_what_our_project_may(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    token = guarded.issuer.token(sub="alice")
    monkeypatch.setenv("FLYTE_BUILD_TOKEN", token)
    findings = found(guarded.served.url)
    assert findings["token"].found.startswith(f"it knows us as alice ({guarded.issuer.url}), by FLYTE_BUILD_TOKEN; the")
    assert findings["token"].found.endswith("is good for 9 minutes")
    assert findings["project"].found == "images of p/development go below 127.0.0.1:5000/images/p"
    other = found(guarded.served.url, project="q")["project"]
    assert other.found == f"alice ({guarded.issuer.url}) may not use the project q/development"
    assert other.what_to_do.endswith(": p/development")
    assert token not in f"{findings}{other}"


def test_nobody_is_told_of_others(guarded: Guarded) -> None:
    path = "/api/v1/service?project={}&domain=development"
    alice = json.loads(guarded.get(path.format("q"), **guarded.header("alice"))[1])
    bob = json.loads(guarded.get(path.format("q"), **guarded.header("bob"))[1])
    assert (alice["registry"], bob["registry"]) == (None, "127.0.0.1:5000/images/q")
    assert alice["projects"] == ["p/development"]
    assert guarded.get(path.format("-q"), authorization=f"Bearer {guarded.everything}")[0] == 422
    assert guarded.get("/api/v1/service", **guarded.header("carol"))[0] == 403


@pytest.mark.parametrize(
    ("claims", "sentence", "hint"),
    [
        ({"exp": 1_000_000_000}, "by this machine's clock it ended ", "log in again; the token is from FLYTE_"),
        ({"aud": "another"}, "it was made for another audience", "FLYTE_BUILD_TOKEN"),
        ({"sub": "carol"}, "may not use this service", "name a project that the token may use"),
    ],
)
def test_why_a_token_does_not_count_is_one_sentence(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch, claims: dict[str, Any], sentence: str, hint: str
) -> None:
    token = guarded.issuer.token(**claims)
    monkeypatch.setenv("FLYTE_BUILD_TOKEN", token)
    findings = found(guarded.served.url)
    assert (set(findings), findings["token"].fine) == ({"service", "token"}, False)
    assert sentence in findings["token"].found
    assert hint in findings["token"].what_to_do
    assert token not in f"{findings}"


def test_no_token_where_one_is_needed_says_which_variable(guarded: Guarded) -> None:
    denied = found(guarded.served.url)["token"]
    assert "this endpoint answers nobody without a token" in denied.found
    assert denied.what_to_do == "set FLYTE_BUILD_TOKEN"


def test_a_file_of_a_token_that_is_gone_is_told(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_BUILD_TOKEN_FILE", "/nowhere/token")
    assert "the token in /nowhere/token cannot be read" in found(guarded.served.url)["token"].found


def test_a_wrong_port_is_told() -> None:
    (finding,) = found(f"http://127.0.0.1:{free_port()}").values()
    assert finding.found.endswith("connection refused")
    assert finding.what_to_do.startswith("check host and port")


def test_http_and_https_are_not_mixed_up(serving: Callable[..., Served], served: Served, tmp_path: Path) -> None:
    (finding,) = found(served.url.replace("http:", "https:")).values()
    assert "cannot speak TLS with" in finding.found
    assert served.url in finding.what_to_do
    assert "FLYTE_BUILD_PLAIN_HTTP" not in finding.what_to_do, "that is for registries"
    Authority.make(tmp_path)
    tls = serving(tmp_path / "tls", tls=(tmp_path / "server.pem", tmp_path / "server.key")).url
    (finding,) = found(tls.replace("https:", "http:")).values()
    assert "whether it speaks TLS there: https://127.0.0.1" in finding.what_to_do
    (finding,) = found(tls).values()
    assert "is not trusted" in finding.found
    assert finding.what_to_do == "name the authority that issued it: SSL_CERT_FILE or REQUESTS_CA_BUNDLE (PEM)"


def test_with_the_authority_named_tls_is_spoken(
    serving: Callable[..., Served], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.make(tmp_path)
    tls = serving(tmp_path / "tls", tls=(tmp_path / "server.pem", tmp_path / "server.key")).url
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.ca))
    assert found(tls)["service"].fine


@pytest.mark.parametrize("answers", [{}, {"/readyz": {"ok": True}}, {"/readyz": ["missing", "ok"]}])
def test_what_is_no_build_service_is_told_and_sent_no_token(
    answers: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYTE_BUILD_TOKEN_FILE", "/nowhere")
    with pretending(answers) as url:
        (finding,) = found(url).values()
        (unsaid,) = found(url, said=False).values()
    assert finding.found.startswith(f"what answers at {url} is no build service")
    assert (finding.needed, unsaid.needed) == (True, False)


@pytest.mark.parametrize(("ahead", "words"), [(300.0, "4 minutes behind"), (-3000.0, "50 minutes ahead of")])
def test_clocks_that_differ_are_told(ahead: float, words: str) -> None:
    with pretending({"/readyz": {"ok": True, "missing": []}}, ahead) as url:
        clock = found(url)["clock"]
    assert clock.found.startswith(f"this machine's clock is {words}"[:-8])
    assert (clock.fine, clock.needed) == (False, False)


def test_a_release_that_does_not_tell_is_older() -> None:
    with pretending({"/readyz": {"ok": True, "missing": []}}) as url:
        findings = found(url)
    assert is_fine(findings) == {"service": True, "version": False}
    assert findings["version"].what_to_do == "upgrade the build service"


@pytest.mark.parametrize(
    ("recipe", "hint"), [(RECIPE + 1, "upgrade flyte-build here"), (RECIPE - 1, "upgrade the build service")]
)
def test_who_makes_plans_that_the_other_does_not_know_is_told_who_upgrades(recipe: int, hint: str) -> None:
    with pretending({"/readyz": {"ok": True, "missing": []}, "/api/v1/service": {**ME, "recipe": recipe}}) as url:
        version = found(url)["version"]
    assert (version.fine, version.what_to_do) == (False, hint)


@pytest.mark.parametrize(
    ("workers", "wanted", "words", "fine"),
    [
        ([["linux/amd64"], ["linux/arm64"]], BOTH, "2 workers: linux/amd64 and linux/arm64", True),
        ([["linux/amd64"]], BOTH, "1 worker: linux/amd64; nobody builds linux/arm64", False),
        ([[], []], BOTH, "2 workers: whatever its engine can", True),
    ],
)
def test_platforms_are_those_of_living_workers(
    workers: list[list[str]], wanted: tuple[Platform, ...], words: str, fine: bool
) -> None:
    document = {**ME, "recipe": RECIPE, "workers": [{"platforms": one, "signs": True} for one in workers]}
    with pretending({"/readyz": {"ok": True, "missing": []}, "/api/v1/service": document}) as url:
        asked = AskedService(endpoint=url, scope=("p", "d"), platforms=wanted)
        findings = {finding.part: finding for finding in service_findings(asked)}
    assert (findings["platforms"].found, findings["platforms"].fine) == (words, fine)
    assert findings["project"].found.endswith("below r.example, signed by the service")


def test_what_cannot_be_understood_is_a_sentence() -> None:
    with pretending({"/readyz": {"ok": True, "missing": []}, "/api/v1/service": {"who": 1}}) as url:
        assert "this release does not understand" in found(url)["token"].found


def test_the_command_asks_the_endpoint_of_its_flag_or_of_the_settings(
    guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLYTE_BUILD_TOKEN", guarded.everything)
    monkeypatch.delenv("FLYTE_BUILD_REGISTRY", raising=False)

    def told(*flags: str) -> dict[str, str]:
        done = CliRunner().invoke(doctor, ["--json", *flags])
        assert guarded.everything not in done.output
        return {one["part"]: one["found"] for one in json.loads(done.stdout)["findings"]}

    assert "service" not in told()
    assert told("--endpoint", guarded.served.url, "--project", "q")["project"].startswith("images of q/development go")
    monkeypatch.setenv("FLYTE_BUILD_ENDPOINT", guarded.served.url.removeprefix("http://"))
    assert told("--insecure")["project"].startswith("images of flytesnacks/development go below 127.0.0.1:5000/images/")


def test_where_a_service_builds_no_engine_is_needed(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert CliRunner().invoke(doctor, ["--endpoint", served.url]).exit_code == 0
    assert CliRunner().invoke(doctor, []).exit_code == 1
