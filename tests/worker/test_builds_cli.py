"""`flyte-build builds` against a service whose builder is a double."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from connectrpc.errors import ConnectError
from tests.worker.conftest import REFERENCE, Building, Served
from tests.worker.make import kept
from tests.worker.sdk import ask_for_build, wait_for_end
from tests.worker.services import free_port

from flyte_build.builder.engine import StepEnded, StepOutput, StepProgress, StepStarted
from flyte_build.bundler.endpoint import Endpoint
from flyte_build.registry.errors import BuildFailed, ServiceUnavailable
from flyte_build.worker.builds.entries import Entry
from flyte_build.worker.builds.request import BuildRequest
from flyte_build.worker.cli.builds_show import row, shown, summary
from flyte_build.worker.cli.main import run
from flyte_build.worker.client.builds import BuildsClient

STEPS = (
    StepStarted(title="pip packages"),
    StepOutput(title="pip packages", line="Installed numpy"),
    StepEnded(title="pip packages", seconds=2.5),
    StepEnded(title="base image", seconds=0.0, cached=True),
    StepProgress(title="exporting to image", what="pushing layers", done=0, total=0, seconds=1.25, ended=True),
)


def cli(served: Served, *arguments: str) -> int:
    return run(["builds", *arguments, "--endpoint", served.url])


def only(served: Served) -> str:
    (build,) = BuildsClient(endpoint=Endpoint.parse(served.url)).list({})
    return str(build["id"])


@pytest.mark.real
def test_a_build_is_listed_shown_and_its_log_told(
    served: Served, building: Building, capfd: pytest.CaptureFixture[str]
) -> None:
    building.steps = STEPS
    name = ask_for_build(served.url)
    wait_for_end(served.url, name)
    build = only(served)
    assert cli(served, "list", "--project", "p", "--state", "succeeded") == 0
    assert capfd.readouterr().out.split()[:2] == [build, "succeeded"]
    assert cli(served, "list", "--project", "another", "--json") == 0
    assert json.loads(capfd.readouterr().out) == {"version": 1, "builds": []}
    assert cli(served, "show", build) == 0
    out = capfd.readouterr().out
    assert f"p/development/{name.name}/a0" in out
    assert REFERENCE in out
    assert cli(served, "logs", build, "-f") == 0
    said = capfd.readouterr()
    lines = ["resolving", "pushing", "    Installed numpy", "  ✓   2.5s pip packages", "  = cached base image"]
    assert said.out.splitlines() == [*lines, "    pushing layers  1.2s"]
    assert said.err.strip().startswith(f"build {build}: succeeded (built) in ")
    assert said.err.strip().endswith(f"2 steps of which 1 cached: {REFERENCE}")
    assert cli(served, "logs", build, "--json") == 0
    *entries, last = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [Entry.decode(json.dumps(entry)).event for entry in entries] == [None, None, *STEPS]
    assert (last["state"], last["reference"]) == ("succeeded", REFERENCE)


@pytest.mark.real
def test_a_failed_build_gives_an_exit_code_to_who_follows_it(
    served: Served, building: Building, capfd: pytest.CaptureFixture[str]
) -> None:
    def act(request: BuildRequest, cancelled: threading.Event) -> None:
        raise BuildFailed("the step failed", step="RUN x", log=("no such package",))

    building.act = act
    with pytest.raises(ConnectError, match="the step failed"):
        wait_for_end(served.url, ask_for_build(served.url))
    build = only(served)
    assert cli(served, "logs", build) == 0
    assert cli(served, "logs", build, "-f") == 1
    assert "flyte-build: the step failed" in capfd.readouterr().err
    assert cli(served, "show", build) == 0
    assert "    no such package" in capfd.readouterr().out


@pytest.mark.real
def test_a_log_is_followed_over_a_restart_of_the_service_by_a_short_id_that_another_build_has_then(
    serving: Callable[..., Served], building: Building
) -> None:
    gone = threading.Event()

    def act(request: BuildRequest, cancelled: threading.Event) -> None:
        if len(building.requests) == 1:
            assert cancelled.wait(20)
            raise BuildFailed("stopped")

    building.act = act
    first = serving()
    ask_for_build(first.url)
    while not building.requests:
        time.sleep(0.02)
    build, port = only(first), int(first.url.rpartition(":")[2])
    heard: list[str] = []

    def follow() -> None:
        for entry in BuildsClient(endpoint=Endpoint.parse(first.url)).log(build[:8], follow=True):
            heard.append(entry.text if isinstance(entry, Entry) else entry["state"])
            if heard == ["resolving", "pushing"]:
                gone.set()

    follower = threading.Thread(target=follow)
    follower.start()
    assert gone.wait(10)
    kept(first.state, (f"{build[:8]}{'0' * 24}", "p"))
    first.stop()
    serving(port=port)
    follower.join(30)
    assert not follower.is_alive()
    assert heard == ["resolving", "pushing", "resolving", "pushing", "succeeded"]


@pytest.mark.real
def test_who_follows_a_build_is_told_once_that_its_service_is_gone_and_at_last_how_to_go_on(
    serving: Callable[..., Served], building: Building
) -> None:
    def act(request: BuildRequest, cancelled: threading.Event) -> None:
        cancelled.wait(20)

    building.act = act
    served = serving()
    ask_for_build(served.url)
    while not building.requests:
        time.sleep(0.02)
    build, said = only(served), list[str]()
    client = BuildsClient(endpoint=Endpoint.parse(served.url), patience=1.5, say=said.append)
    log = client.log(build[:8], follow=True)
    next(log)
    served.stop()
    with pytest.raises(ServiceUnavailable) as gone:
        list(log)
    (note,) = said
    assert note.startswith("the service does not answer: ")
    assert served.url in note
    assert note.endswith("; trying again for 2 s; the build goes on there")
    assert f"`flyte-build builds logs -f {build} --endpoint {served.url}`" in gone.value.hint


def test_the_note_that_a_service_is_waited_for_is_no_part_of_the_log() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    argv = [
        str(Path(sys.executable).parent / "flyte-build"),
        "builds",
        "logs",
        "-f",
        "b" * 32,
        "--json",
        "--endpoint",
        url,
    ]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        assert client.stderr is not None
        note = client.stderr.readline()
        client.send_signal(signal.SIGINT)
        answer, _ = client.communicate()
    assert note.startswith(f"the service does not answer: cannot reach {url}: connection refused; trying again for 120")
    assert answer == ""


@pytest.mark.real
def test_cancelling_stops_the_build_for_everybody(
    served: Served, building: Building, capfd: pytest.CaptureFixture[str]
) -> None:
    stopped = threading.Event()

    def act(request: BuildRequest, cancelled: threading.Event) -> None:
        assert cancelled.wait(10)
        stopped.set()
        raise BuildFailed("stopped")

    building.act = act
    runs = [ask_for_build(served.url), ask_for_build(served.url)]
    while not building.requests:
        time.sleep(0.02)
    assert cli(served, "cancel", only(served)) == 0
    assert "2 runs waited for it" in capfd.readouterr().err
    assert stopped.wait(10)
    for name in runs:
        details = wait_for_end(served.url, name)
        assert (details.status.phase, details.abort_info.reason) == (7, "the build was cancelled")


@pytest.mark.real
def test_what_has_ended_is_not_cancelled(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    wait_for_end(served.url, ask_for_build(served.url))
    assert cli(served, "cancel", only(served)) == 0
    assert "it has ended: succeeded" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", " ", "two\nlines", "x" * 81])
def test_a_token_is_called_something_that_a_log_can_say(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["token", name]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.real
@pytest.mark.parametrize("command", ["show", "logs", "cancel"])
def test_a_build_that_is_not_there_is_one_sentence(
    served: Served, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli(served, command, "../x") == 1
    error = capfd.readouterr().err
    assert "there is no build ../x at" in error or "not found" in error.lower()
    assert "Traceback" not in error


def test_without_a_service_to_ask_it_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("FLYTE_BUILD_ENDPOINT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert run(["builds", "list"]) == 2
    assert "--endpoint" in capfd.readouterr().err


@pytest.mark.real
def test_a_service_that_does_not_answer_is_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["builds", "list", "--endpoint", "http://127.0.0.1:1"]) == 1
    assert "cannot reach http://127.0.0.1:1" in capfd.readouterr().err


DOCUMENT = {
    "id": "b1", "project": "p", "domain": "d", "target": "demo:1", "state": "failed", "status": "", "reference": "",
    "spec_digest": "", "attempts": 1, "created_at": 0.0, "started_at": 1.0, "ended_at": 3.5, "seconds": 2.5,
    "error": "it \x1b[31mfailed\nbadly", "step": "RUN x", "log": "\x1b]0;x\x07last", "runs": ["p/d/r\x1b[1m/a0"],
}  # fmt: skip


@pytest.mark.parametrize("draw", [row, shown, lambda build: summary(build, ())])
def test_what_a_service_says_does_not_reach_the_terminal_raw(draw: Callable[[object], str]) -> None:
    assert "\x1b" not in draw(DOCUMENT)
    assert "b1" in draw(DOCUMENT)


def test_a_build_is_one_line() -> None:
    words = row(DOCUMENT).split()
    assert words == ["b1", "failed", "1970-01-01", "00:00:00", "2.5", "s", "p/d", "demo:1", "it", "failed"]
