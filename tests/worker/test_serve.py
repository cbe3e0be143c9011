from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.worker.conftest import Building, Served

from flyte_build.registry.errors import InvalidInput, ServiceError
from flyte_build.worker.serve import ServeSettings, serve

PROGRAM = """
import sys
from pathlib import Path
from flyte_build.worker.serve import ServeSettings, serve
serve(ServeSettings(port=0, state=Path(sys.argv[1])), lambda request, log, cancelled: None)
"""

# Whole processes, the SDK's among them: seconds each, and so no part of `make check`.
pytestmark = pytest.mark.real

KILLED = """
import sys, threading
from pathlib import Path
from flyte_build.worker.serve import ServeSettings, serve

def build(request, log, cancelled):
    log("it began")
    threading.Event().wait()

serve(ServeSettings(port=0, state=Path(sys.argv[1])), build)
"""


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_it_says_where_it_is_and_that_it_is_well(served: Served) -> None:
    said = json.loads((served.state / "endpoint.json").read_text())
    assert said == {"url": served.url, "pid": os.getpid()}
    assert get(f"{served.url}/healthz")[0] == 200
    assert json.loads(get(f"{served.url}/readyz")[1]) == {"ok": True, "missing": []}
    assert get(f"{served.url}/nothing")[0] == 404
    served.stop()
    assert not (served.state / "endpoint.json").exists()


def test_its_state_is_closed_to_others(served: Served) -> None:
    assert served.state.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.com", ""])
def test_it_does_not_listen_to_the_network(tmp_path: Path, building: Building, host: str) -> None:
    with pytest.raises(InvalidInput, match="not a loopback address"):
        serve(ServeSettings(host=host, state=tmp_path / "s"), building)


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path, building: Building) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ServiceError, match=f"port {port} of 127.0.0.1 cannot be listened on") as caught:
            serve(ServeSettings(port=port, state=tmp_path / "s"), building)
    assert "--port" in caught.value.hint


def test_one_state_serves_one_process(served: Served, building: Building) -> None:
    with pytest.raises(ServiceError, match="in use by another"):
        serve(ServeSettings(port=0, state=served.state), building)


def test_a_state_that_cannot_be_made_is_one_sentence(tmp_path: Path, building: Building) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceError, match="cannot be used"):
        serve(ServeSettings(port=0, state=tmp_path / "file" / "s"), building)


def test_it_can_be_started_again_on_the_same_state(serving: Callable[..., Served]) -> None:
    first = serving()
    first.stop()
    assert get(f"{serving().url}/healthz")[0] == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    argv = [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path / "s")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert get(f"{url}/healthz")[0] == 200
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert not (tmp_path / "s" / "endpoint.json").exists()


def test_a_build_that_was_stopped_is_finished_by_the_next_process(
    serving: Callable[..., Served], building: Building
) -> None:
    from tests.worker.sdk import ask_for_build, wait_for_end

    began = threading.Event()

    def act(request: object, cancelled: threading.Event) -> None:
        began.set()
        assert cancelled.wait(20)
        raise InvalidInput("stopped")

    building.act = act
    first = serving()
    run = ask_for_build(first.url)
    assert began.wait(10)
    first.stop()
    building.act = lambda request, cancelled: None
    second = serving()
    assert wait_for_end(second.url, run).status.phase == 5
    assert len(building.requests) == 2


def test_a_build_whose_process_was_killed_is_finished_by_the_next_at_once(
    tmp_path: Path, serving: Callable[..., Served], building: Building
) -> None:
    from tests.worker.sdk import ask_for_build, wait_for_end

    argv = [sys.executable, "-c", KILLED, str(tmp_path / "state")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        run = ask_for_build(url)
        while "it began" not in get(f"{url}/v2/domain/development/project/p/runs/{run.name}/log")[1]:
            time.sleep(0.05)
        process.kill()
    served = serving()
    began = time.monotonic()
    assert wait_for_end(served.url, run).status.phase == 5
    assert time.monotonic() - began < 10, "it waited for the lease of the dead"
    assert len(building.requests) == 1


def test_watching_does_not_hold_the_server(serving: Callable[..., Served], building: Building) -> None:
    from tests.worker.sdk import ask_for_build, watch

    free = threading.Event()
    building.act = lambda request, cancelled: free.set() or cancelled.wait(20)  # type: ignore[assignment,func-returns-value]
    served = serving()
    run = ask_for_build(served.url)
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.extend(one.status.phase for one in watch(served.url, run)))
    thread.start()
    assert free.wait(10)
    began = time.monotonic()
    served.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert time.monotonic() - began < 10
    assert seen
