from __future__ import annotations

from pathlib import Path

import pytest
from flyteidl2.core import tasks_pb2
from flyteidl2.task import common_pb2
from hypothesis import given
from hypothesis import strategies as st
from tests.worker.make import NAME, action, container_task, run_spec

from flyte_build.registry.errors import InvalidInput, ServiceDenied
from flyte_build.worker.runs.launch import Mount, Surroundings, docker_create, launch_of, placeholders, substitute
from flyte_build.worker.runs.objects import objects_of
from flyte_build.worker.runs.phases import Phase
from flyte_build.worker.runs.resources import cpus_of, memory_of, quantity

IMAGE = f"ghcr.io/acme/x@sha256:{'a' * 64}"
AROUND = Surroundings(
    mounts=(
        Mount(source=Path("/state/work"), target="/flyte-build/run", writable=True),
        Mount(source=Path("/in"), target="/i"),
    ),
    endpoint="",
    labels=("flyte-build.service=s", "flyte-build.action=s/p/development/r1/a0"),
)


def create(*args: str, env: dict[str, str] | None = None, endpoint: str = "", **container: object) -> tuple[str, ...]:
    around = Surroundings(mounts=AROUND.mounts, endpoint=endpoint, labels=AROUND.labels)
    return docker_create(launch_of(action(), container_task(IMAGE, *args, **container), run_spec(**env or {}), around))


def test_a_container_is_created_from_the_image_as_it_was_given_with_the_arguments_last() -> None:
    argv = create("a0", "--inputs", "{{.input}}", "--outputs-path", "{{.outputPrefix}}", "--name", "{{.actionName}}")
    assert argv[0] == "create"
    assert argv[argv.index("--") + 1 :] == (
        IMAGE,
        "a0",
        "--inputs",
        "/flyte-build/input/inputs.pb",
        "--outputs-path",
        "/flyte-build/run/a0/1",
        "--name",
        "a0",
    )


def test_mounts_are_read_only_unless_said_otherwise() -> None:
    mounts = [part for part in create() if part.startswith("--mount=")]
    assert mounts == [
        "--mount=type=bind,source=/state/work,target=/flyte-build/run",
        "--mount=type=bind,source=/in,target=/i,readonly",
    ]


def test_a_path_with_a_comma_or_a_quote_stays_one_path() -> None:
    mount = Mount(source=Path('/a,b"c'), target="/x")
    assert str(mount) == 'type=bind,"source=/a,b""c",target=/x,readonly'


def test_a_container_is_in_a_network_of_its_own_and_gains_no_privileges() -> None:
    options = create()[: create().index("--")]
    assert {"--network=bridge", "--security-opt=no-new-privileges"} <= set(options)
    assert not [one for one in options if one.startswith(("--privileged", "--cap-add", "--pid", "--ipc", "--userns"))]


def test_nothing_that_a_client_sends_becomes_an_option_of_the_engine() -> None:
    argv = create("--privileged", env={"X": "--privileged"}, command=["--privileged", "-v/:/host"])
    options = argv[: argv.index("--")]
    assert "--privileged" not in options
    assert "--entrypoint=--privileged" in options
    assert "--env=X=--privileged" in options
    assert argv[argv.index("--") + 1 :] == (IMAGE, "-v/:/host", "--privileged")


@pytest.mark.parametrize(
    "expected",
    [
        "_U_RUN_BASE=/flyte-build/run",
        "_U_ORG_NAME=local",
        "_U_USE_ACTIONS=1",
        "FLYTE_INTERNAL_EXECUTION_PROJECT=p",
        "FLYTE_INTERNAL_EXECUTION_DOMAIN=development",
        "RUN_NAME=r1",
        "ACTION_NAME=a0",
        "LOG_LEVEL=20",
        "FROM_TASK=yes",
    ],
)
def test_the_environment_has(expected: str) -> None:
    task = container_task(IMAGE, env=[{"key": "FROM_TASK", "value": "yes"}, {"key": "_U_RUN_BASE", "value": "/etc"}])
    argv = docker_create(launch_of(action(), task, run_spec(LOG_LEVEL="20", RUN_NAME="forged"), AROUND))
    assert f"--env={expected}" in argv


def test_without_a_way_to_the_endpoint_a_nested_call_is_refused_inside_the_container() -> None:
    argv = create()
    assert "--add-host=this-endpoint-runs-one-task-per-run.localhost:127.0.0.1" in argv
    assert "--env=_U_EP_OVERRIDE=http://this-endpoint-runs-one-task-per-run.localhost:1" in argv


def test_with_a_way_to_the_endpoint_a_nested_call_reaches_it() -> None:
    argv = create(endpoint="https://builds.acme.example")
    assert "--env=_U_EP_OVERRIDE=https://builds.acme.example" in argv
    assert "--env=_U_INSECURE=false" in argv
    assert not [part for part in argv if part.startswith("--add-host")]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        pytest.param("{{.runName}}", "r1", id="a placeholder"),
        pytest.param("{{ .runName }}/{{.actionName}}", "r1/a0", id="two, with spaces"),
        pytest.param("{{.unknown}}", "{{.unknown}}", id="one that is not known stays"),
        pytest.param("{{.prevCheckpointPrefix}}", "", id="one that stands for nothing"),
        pytest.param("{{.runStartTime}}", "2027-01-15T08:00:00Z", id="the time in UTC"),
        pytest.param("{.runName}", "{.runName}", id="what only looks like one stays"),
    ],
)
def test_substituting(text: str, result: str) -> None:
    assert substitute(text, placeholders(action())) == result


@pytest.mark.parametrize(
    "task",
    [
        pytest.param(container_task(""), id="without an image"),
        pytest.param(type(container_task("x"))(task_template=tasks_pb2.TaskTemplate(k8s_pod={})), id="that is a pod"),
        pytest.param(type(container_task("x"))(), id="that is nothing"),
    ],
)
def test_a_task_is_refused(task: object) -> None:
    with pytest.raises(InvalidInput, match="not a plain container task"):
        launch_of(action(), task, run_spec(), AROUND)


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("500m", 0.5), ("1.5", 1.5), ("1k", 1000), ("2Mi", 2 * 2**20), ("1Gi", 2**30), ("3G", 3 * 10**9)],
)
def test_a_quantity_means(text: str, number: float) -> None:
    assert float(quantity(text)) == number


@pytest.mark.parametrize("text", ["", "lots", "-1", "1 Gi!", "1e400", "0x10", "1KiB"])
def test_a_quantity_is_not(text: str) -> None:
    with pytest.raises(InvalidInput):
        quantity(text)


def resources(**limits: str) -> tasks_pb2.Resources:
    names = {"cpu": tasks_pb2.Resources.CPU, "memory": tasks_pb2.Resources.MEMORY}
    return tasks_pb2.Resources(limits=[{"name": names[name], "value": value} for name, value in limits.items()])


def test_limits_become_what_an_engine_accepts() -> None:
    assert (memory_of(resources()), cpus_of(resources(), 4)) == (0, "")
    assert (memory_of(resources(memory="1Gi")), memory_of(resources(memory="1"))) == (2**30, 6 * 2**20)
    assert [cpus_of(resources(cpu=text), 4) for text in ("2", "64", "250m", "0")] == ["2", "4", "0.25", "0.01"]
    argv = create(resources=resources(cpu="500m", memory="64Mi"))
    assert {"--memory=67108864", "--cpus=0.5"} <= set(argv)


MINE = "file:///flyte-build/store/uploads/p/development/abc/x.tgz"


def inputs_with(*texts: str) -> common_pb2.Inputs:
    items = [{"scalar": {"blob": {"uri": text}}} for text in texts]
    return common_pb2.Inputs(literals=[{"name": "files", "value": {"collection": {"literals": items}}}])


def test_objects_are_found_in_arguments_and_anywhere_in_inputs_once() -> None:
    other = MINE.replace("abc", "def")
    found = objects_of(("--tgz", MINE, "s3://elsewhere/x"), inputs_with(other, MINE, "/tmp/x"), NAME)
    assert [key.native_url for key in found] == [MINE, other]


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(MINE.replace("/p/", "/other/"), id="another project's object"),
        pytest.param(MINE.replace("abc", ".."), id="a path that leaves its place"),
        pytest.param("file:///flyte-build/store/secret", id="the store's secret"),
    ],
)
def test_a_run_cannot_be_given(url: str) -> None:
    with pytest.raises(ServiceDenied):
        objects_of(("--tgz", url), common_pb2.Inputs(), NAME)
    with pytest.raises(ServiceDenied):
        objects_of((), inputs_with(url), NAME)


@given(st.sampled_from(Phase), st.sampled_from(Phase))
def test_a_phase_only_moves_forward_or_back_to_the_queue_and_never_out_of_the_end(now: Phase, then: Phase) -> None:
    allowed = now.may_become(then)
    assert not (now.terminal and allowed)
    assert not (allowed and then < now and then is not Phase.QUEUED)
    assert not (allowed and then is now)
    if not now.terminal and then.terminal:
        assert allowed
