"""Metrics, traces, the service's own log, the cache: each by itself."""

from __future__ import annotations

import json
import logging
import threading
import urllib.error
import urllib.request
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.worker.conftest import REFERENCE, Building
from tests.worker.otlp import receiver

from flyte_build.builder.engine import BuildEvent, StepEnded, StepProgress
from flyte_build.registry.errors import BuildCancelled, BuildFailed, InvalidInput, ServiceError, ServiceUnavailable
from flyte_build.worker.builds.request import BuildRequest
from flyte_build.worker.operating.cache import Cache, keep_flag, parse_size, prune_argv, total_of
from flyte_build.worker.operating.kinds import KINDS, kind_of
from flyte_build.worker.operating.log_lines import JsonLines
from flyte_build.worker.operating.metrics import Metrics
from flyte_build.worker.operating.observed import Observed
from flyte_build.worker.operating.server import told
from flyte_build.worker.operating.traces import Traces, Untraced, open_traces

REQUEST = BuildRequest(
    spec=b"", context=None, target="demo:1", project="p", domain="d", force=False, build_id="b1", asked_at=100.0
)
TRACE = "0af7651916cd43dd8448eb211c80319c"
STEPS = (
    StepEnded(title="pip packages: numpy", seconds=2.0),
    StepEnded(title="base image", seconds=0.0, cached=True),
    StepEnded(title="[internal] load build definition from Dockerfile", seconds=0.5),
    StepEnded(title="command: curl canary-of-a-command", seconds=1.0, error="canary-of-an-error"),
)


class Silent:
    def __call__(self, text: str) -> None:
        """Nothing."""

    def step(self, event: BuildEvent) -> None:
        """Nothing."""


def values(metrics: Metrics) -> dict[str, float]:
    """Samples that are not zero, as `name{label}`."""
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            if not sample.name.endswith(("_bucket", "_created")) and sample.value:
                found[sample.name + "".join(f"{{{value}}}" for value in sample.labels.values())] = sample.value
    return found


def observed(building: Building, metrics: Metrics, traces: Traces | None = None) -> Observed:
    times = iter([103.0, *[105.0] * 10])
    return Observed(building=building, metrics=metrics, traces=traces or Untraced(), clock=lambda: next(times))


def test_a_build_is_counted() -> None:
    metrics = Metrics("1.2.3")
    building = Building(steps=STEPS, pushed=4096)
    assert observed(building, metrics)(REQUEST, Silent(), threading.Event()).reference == REFERENCE
    assert values(metrics) == {
        "flyte_build_info{1.2.3}": 1,
        "flyte_build_queue_wait_seconds_count": 1,
        "flyte_build_queue_wait_seconds_sum": 3,
        "flyte_build_build_seconds_count{built}": 1,
        "flyte_build_build_seconds_sum{built}": 2,
        "flyte_build_step_seconds_count{pip}": 1,
        "flyte_build_step_seconds_sum{pip}": 2,
        "flyte_build_step_seconds_count{command}": 1,
        "flyte_build_step_seconds_sum{command}": 1,
        "flyte_build_steps_total{false}": 2,
        "flyte_build_steps_total{true}": 1,
        "flyte_build_pushed_bytes_total": 4096,
    }


@pytest.mark.parametrize(
    ("error", "stop", "counted"),
    [
        pytest.param(
            BuildFailed("x"), False, {"build_seconds_count{failed}", "failures_total{BuildFailed}"}, id="fails"
        ),
        pytest.param(BuildFailed("x"), True, {"build_seconds_count{cancelled}"}, id="is stopped"),
        pytest.param(BuildCancelled("x"), False, {"build_seconds_count{cancelled}"}, id="is cancelled"),
    ],
)
def test_a_build_that_ends_badly_is_counted_when_it(error: Exception, stop: bool, counted: set[str]) -> None:
    def act(request: BuildRequest, cancelled: threading.Event) -> None:
        if stop:
            cancelled.set()
        raise error

    metrics = Metrics("1")
    with pytest.raises(type(error)):
        observed(Building(act=act), metrics)(REQUEST, Silent(), threading.Event())
    found = {name.removeprefix("flyte_build_") for name in values(metrics)}
    assert {name for name in found if name.startswith(("build_seconds_count", "failures"))} == counted


def test_the_queue_is_asked_at_every_scrape_and_missing_when_nobody_answers() -> None:
    metrics, answers = Metrics("1"), [({"queued": 3, "running": 1}, 7.5)]

    def look() -> tuple[dict[str, int], float]:
        if not answers:
            raise ServiceUnavailable("the database did not answer")
        return answers[0]

    metrics.watch_queue(look)
    found = values(metrics)
    assert (found["flyte_build_builds{queued}"], found["flyte_build_builds{running}"]) == (3, 1)
    assert found["flyte_build_queue_oldest_seconds"] == 7.5
    answers.clear()
    assert "flyte_build_builds" not in metrics.text().decode()


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("base image", "base"),
        ("image a.test/b:1", "base"),
        ("pip packages: numpy pandas", "pip"),
        ("apt packages: git", "apt"),
        ("command: pip packages", "command"),
        ("copy to /srv (linux/arm64)", "copy"),
        ("locked packages", "project"),
        ("exporting to image", "export"),
        ("listing what is installed", "survey"),
        ("attaching what is kept of the build", "attach"),
        ("signing bill of materials", "sign"),
        ("pushing 127.0.0.1:5000/x:1 with docker", "push"),
        ("[internal] load metadata for x", "internal"),
        ("[context x] load metadata for x", "internal"),
        ("what a user calls it", "other"),
    ],
)
def test_steps_have_few_kinds(title: str, kind: str) -> None:
    assert kind_of(title) == kind
    assert kind in KINDS


@pytest.mark.real
def test_one_trace_goes_from_the_request_to_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
        traces = open_traces("flyte-build-test")
        with traces.span("CreateRun", f"00-{TRACE}-b7ad6b7169203331-01") as span:
            assert traces.current() == span.context
        request = replace(REQUEST, trace=span.context)
        observed(Building(steps=STEPS), Metrics("1"), traces)(request, Silent(), threading.Event())
        failing = Building(act=_raise)
        with pytest.raises(BuildFailed):
            observed(failing, Metrics("1"), traces)(REQUEST, Silent(), threading.Event())
        traces.close()
        spans = {
            span.name: span for span in received.spans() if span.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
        }
        assert set(spans) == {"CreateRun", "queue", "build", "step pip", "step base", "step command", "step internal"}
        assert spans["CreateRun"].parent_span_id.hex() == "b7ad6b7169203331"
        assert spans["build"].parent_span_id == spans["queue"].parent_span_id == spans["CreateRun"].span_id
        assert spans["step pip"].parent_span_id == spans["build"].span_id
        assert spans["step pip"].end_time_unix_nano - spans["step pip"].start_time_unix_nano == 2_000_000_000
        failed = [one for one in received.spans() if one.name == "build" and one.status.code == 2]
        assert [one.status.message for one in failed] == ["BuildFailed"]
        assert received.services() == {"flyte-build-test"}
        assert b"canary" not in b"".join(received.bodies)


def _raise(request: BuildRequest, cancelled: threading.Event) -> None:
    raise BuildFailed("canary-of-a-sentence", log=("canary-of-a-log",))


def test_nothing_is_traced_unless_somebody_wants_it() -> None:
    for environment in ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}):
        traces = open_traces("x", environment)
        with traces.span("build") as span:
            assert (span.context, traces.current()) == ("", "")


def test_a_line_of_the_service_is_a_document_with_the_ids_of_build_and_run() -> None:
    build = "0123456789abcdef" * 2
    arguments = ("run %s waits for build %s of %s", ("p/development/r-1/a0", build, "demo:1"))
    line = JsonLines().format(logging.LogRecord("flyte_build.x", logging.INFO, "f", 1, *arguments, None))
    document = json.loads(line)
    assert document.pop("at").endswith("+00:00")
    assert document == {
        "level": "info",
        "logger": "flyte_build.x",
        "message": f"run p/development/r-1/a0 waits for build {build} of demo:1",
        "build": build,
        "run": "p/development/r-1/a0",
    }


@pytest.mark.parametrize(
    ("text", "size"),
    [("20GB", 20 * 10**9), ("512MiB", 2**29), ("1.5g", 1_500_000_000), ("910.9MB", 910_900_000), ("7", 7), ("0B", 0)],
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "many", "-1GB", "1EB", "1 G B"])
def test_what_is_no_size_is_one_sentence(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a size"):
        parse_size(text)


def test_pruning_says_what_is_kept_in_the_words_of_this_buildx() -> None:
    flag = keep_flag("      --keep-storage bytes   Amount of disk space to keep for cache")
    assert prune_argv("pod", 5, flag) == ("buildx", "prune", "--builder", "pod", "--force", "--keep-storage=5")
    assert prune_argv(None, 5, keep_flag("--max-used-space bytes")) == (
        "buildx", "prune", "--force", "--max-used-space=5",
    )  # fmt: skip
    assert total_of("ID\tRECLAIMABLE\nShared:\t\t352.8MB\nTotal:\t\t910.9MB\n") == 910_900_000


@pytest.mark.real
def test_the_cache_of_a_real_engine_has_a_size_and_room_enough_prunes_nothing(parts: object) -> None:
    size, pruned = Cache(keep=10**15).look()
    assert (size >= 0, pruned) == (True, False)


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.real
def test_a_worker_says_how_it_is() -> None:
    metrics, missing = Metrics("1"), list[str]()
    with told("127.0.0.1", 0, metrics, lambda: tuple(missing)) as port:
        url = f"http://127.0.0.1:{port}"
        assert get(f"{url}/healthz") == (200, b'{"ok": true}')
        assert get(f"{url}/readyz") == (200, b'{"ok": true, "missing": []}')
        missing.append("broker")
        assert get(f"{url}/readyz") == (200, b'{"ok": true, "missing": ["broker"]}')
        missing.append("database")
        assert get(f"{url}/readyz") == (503, b'{"ok": false, "missing": ["broker", "database"]}')
        assert b"flyte_build_info" in get(f"{url}/metrics")[1]
        assert get(f"{url}/x")[0] == 404
        with pytest.raises(ServiceError, match="cannot be listened on"), told("127.0.0.1", port, metrics, tuple):
            pass


def test_progress_is_no_step() -> None:
    metrics = Metrics("1")
    metrics.heard(StepProgress(title="exporting", what="x", done=1, total=2, seconds=1.0))
    assert "steps" not in str(values(metrics))
