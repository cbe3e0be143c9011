"""A whole service and a worker of its own: what they tell while a build goes from one to the other."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.worker.conftest import Building, Served
from tests.worker.otlp import receiver
from tests.worker.sdk import ask_for_build, wait_for_end
from tests.worker.services import free_port

from flyte_build.builder.engine import StepEnded
from flyte_build.worker.pod import PodSettings, work

pytestmark = pytest.mark.real


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=15) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def metrics(url: str) -> dict[str, float]:
    families = text_string_to_metric_families(get(f"{url}/metrics")[1])
    return {
        sample.name + "".join(f"{{{value}}}" for value in sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.fixture
def apart(serving: Callable[..., Served], building: Building, tmp_path: Path) -> object:
    """An endpoint without a worker, and what starts a worker beside it; gives the worker's own address."""
    database = f"sqlite:///{tmp_path / 'shared.db'}"
    served = serving(no_worker=True, database=database, store=str(tmp_path / "store"))
    port, stop, threads = free_port(), threading.Event(), list[threading.Thread]()

    def start() -> str:
        ready = threading.Event()
        settings = PodSettings(
            state=tmp_path / "pod", database=database, store=str(tmp_path / "store"), metrics=("127.0.0.1", port)
        )
        run = threading.Thread(target=lambda: work(settings, building, stop=stop, ready=lambda _: ready.set()))
        run.start()
        threads.append(run)
        assert ready.wait(30)
        return f"http://127.0.0.1:{port}"

    yield served, start
    stop.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_a_build_is_seen_from_the_request_to_its_last_step(
    apart: tuple[Served, Callable[[], str]], building: Building
) -> None:
    served, start = apart
    building.steps = (StepEnded(title="pip packages: numpy", seconds=2.0),)
    first = ask_for_build(served.url, request_id="1")
    said = metrics(served.url)
    assert (said["flyte_build_builds{queued}"], said["flyte_build_builds{running}"]) == (1, 0)
    status, ready = get(f"{served.url}/readyz")
    assert (status, json.loads(ready)) == (200, {"ok": True, "missing": ["worker"]})
    assert get(f"{served.url}/readyz?all")[0] == 503
    worker = start()
    assert wait_for_end(served.url, first).status.phase == 5
    said = metrics(worker)
    assert said["flyte_build_build_seconds_count{built}"] == 1
    assert said["flyte_build_step_seconds_sum{pip}"] == 2
    assert said["flyte_build_queue_wait_seconds_count"] == 1
    assert json.loads(get(f"{worker}/readyz")[1]) == {"ok": True, "missing": []}
    assert metrics(served.url)["flyte_build_builds{queued}"] == 0


def test_one_trace_goes_over_the_queue(
    monkeypatch: pytest.MonkeyPatch, serving: Callable[..., Served], building: Building
) -> None:
    building.steps = (StepEnded(title="apt packages: git", seconds=2.0),)
    with receiver() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        served = serving()
        wait_for_end(served.url, ask_for_build(served.url))
        served.stop()
        asked = received.named("flyteidl2.workflow.RunService/CreateRun")
        built = received.named("build")
        assert received.named("step apt").parent_span_id == built.span_id
        assert built.parent_span_id == received.named("queue").parent_span_id == asked.span_id
        assert {pair.key for pair in built.attributes} >= {"project", "domain", "target", "build.id", "status"}


def test_what_is_missing_is_named(serving: Callable[..., Served], tmp_path: Path) -> None:
    served = serving(registry="127.0.0.1:1/images", broker="redis://127.0.0.1:1/0")
    missing = json.loads(get(f"{served.url}/readyz")[1])["missing"]
    assert {"registry", "broker"} <= set(missing)
    assert "database" not in missing
