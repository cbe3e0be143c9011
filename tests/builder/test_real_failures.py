"""How builds end that do not succeed: what is said, and that nothing is left of them."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from tests.builder.building import Workshop
from tests.engine import docker

from flyte_build.builder.buildx.engine import BuildxEngine
from flyte_build.builder.engine import BuildEvent, BuildOptions, StepOutput, StepStarted
from flyte_build.builder.machine import Machine, find_machine
from flyte_build.builder.plan import plan
from flyte_build.builder.resolve import resolve
from flyte_build.builder.spec import ImageSpec
from flyte_build.builder.uv import cache_folder
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.errors import BuildCancelled, BuildFailed, EngineMissing
from flyte_build.registry.names import Repository, Target

pytestmark = pytest.mark.real


def failed(workshop: Workshop, spec: ImageSpec, options: BuildOptions | None = None) -> BuildFailed:
    """How the build of `spec` fails."""
    with pytest.raises(BuildFailed) as caught:
        workshop.build(spec, options)
    return caught.value


def test_a_failing_command_is_said_with_its_code_and_last_lines(workshop: Workshop) -> None:
    command = "i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo \"line $i\"; done; printf '\\033[31mthe end'; exit 42"
    error = failed(workshop, workshop.spec().with_commands("true", command, "echo never"))
    assert error.step == f"command: {command}"
    assert error.sentence == f"the step «{error.step}» failed with exit code 42"
    assert error.log == (*(f"line {number}" for number in range(62, 101)), "the end")
    assert error.hint == ""


def test_a_package_that_does_not_exist(workshop: Workshop) -> None:
    error = failed(workshop, workshop.spec().with_pip("there-is-no-such-package-here"))
    assert error.step == "pip packages: there-is-no-such-package-here"
    assert "check the package's name" in error.hint
    assert any("there-is-no-such-package-here" in line for line in error.log)


def test_a_version_that_does_not_exist(workshop: Workshop) -> None:
    assert "check the version" in failed(workshop, workshop.spec().with_pip("six==99.0")).hint


def test_a_debian_package_that_does_not_exist(workshop: Workshop) -> None:
    error = failed(workshop, workshop.spec().with_apt("there-is-no-such-package-here"))
    assert error.sentence == ("the step «apt packages: there-is-no-such-package-here» failed with exit code 100")
    assert "check the name of the Debian package" in error.hint


def test_without_the_machines_ca_the_hint_names_it(workshop: Workshop, tmp_path: Path) -> None:
    wrong = tmp_path / "ca.pem"
    wrong.write_text("", encoding="utf-8")
    options = BuildOptions(machine=Machine(ca=wrong), cache=workshop.name)
    error = failed(workshop, workshop.spec().with_pip("six"), options)
    assert error.step == "pip packages: six"
    assert error.hint.startswith("the index is behind a private CA"), error.log


def test_the_first_step_of_each_stage_of_a_dockerfile_has_its_own_name(workshop: Workshop) -> None:
    base = workshop.parts.base
    stages = f"FROM {base} AS one\nRUN echo {workshop.name}\nFROM {base}\nCOPY --from=one /etc/hostname /x\n"
    (workshop.root / "Dockerfile").write_text(f"{stages}RUN exho hi\n", encoding="utf-8")
    events: list[BuildEvent] = []
    spec = ImageSpec(name="image", dockerfile="Dockerfile")
    planned = plan(resolved := resolve(spec, workshop.root, RegistryClient()))
    target = Target(Repository.parse(f"{workshop.parts.registry}/{workshop.name}"), (planned.tag,))
    with pytest.raises(BuildFailed) as caught:
        BuildxEngine().build(planned, resolved.context, target, BuildOptions(progress=events.append))
    assert caught.value.sentence.endswith("RUN exho hi» failed with exit code 127")
    told = [event.title for event in events if isinstance(event, StepStarted)]
    # A base that the engine has not got yet may be told by its FROM.
    assert {f"image {base}", "base image"} & set(told)
    assert any(title.endswith(f"RUN echo {workshop.name}") for title in told)


def test_a_builder_that_does_not_exist(workshop: Workshop) -> None:
    with pytest.raises(EngineMissing, match="there is no builder named 'no-such-builder'"):
        workshop.build(workshop.spec(), BuildOptions(builder="no-such-builder"))


def test_an_engine_that_does_not_answer(workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineMissing) as caught:
        workshop.build(workshop.spec())
    assert caught.value.sentence.startswith("no Docker engine answers: ")
    assert f"{tmp_path}/none.sock" in caught.value.sentence
    assert "DOCKER_HOST" in caught.value.hint


def running(marker: str) -> list[int]:
    """Processes of this machine, the engine's steps included, with `marker` on their command line."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in place.read_bytes().split(b"\0"):
                found.append(int(place.parent.name))
        except OSError:
            continue
    return found


def wait_for(condition: object, patience: float = 20) -> bool:
    """Whether `condition()` holds in time."""
    assert callable(condition)
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("how", ["cancelled", "out of time"])
def test_a_build_that_is_stopped_leaves_nothing(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    temporary = tmp_path / "builds"
    (tmp_path / "uv").symlink_to(cache_folder() / "uv")
    monkeypatch.setenv("FLYTE_BUILD_CACHE", str(tmp_path))
    marker = f"3{int(workshop.name[1:9], 16) % 10**7}"
    spec = workshop.spec().with_commands(f"echo ready; sleep {marker}")
    resolved = resolve(spec, workshop.root, RegistryClient())
    planned = plan(resolved)
    started, cancelled = threading.Event(), threading.Event()

    def hear(event: BuildEvent) -> None:
        if isinstance(event, StepOutput) and event.line == "ready":
            assert wait_for(lambda: running(marker))
            assert len(list(temporary.iterdir())) == 2
            started.set()
            if how == "cancelled":
                cancelled.set()

    options = BuildOptions(
        machine=find_machine(), progress=hear, cancelled=cancelled, timeout=None if how == "cancelled" else 8
    )
    target = Target(Repository.parse(f"{workshop.parts.registry}/{workshop.name}"), (planned.tag,))
    with pytest.raises((BuildCancelled, BuildFailed)) as caught:
        BuildxEngine().build(planned, resolved.context, target, options)
    assert started.is_set()
    assert (
        caught.value.sentence
        == {
            "cancelled": "the build was cancelled",
            "out of time": "the build took longer than 8 seconds and was stopped",
        }[how]
    )
    assert [left.name for left in temporary.iterdir()] == [".lock"]
    assert wait_for(lambda: not running(marker)), docker("buildx", "du").stdout


def test_the_next_try_works(workshop: Workshop) -> None:
    marker = workshop.root / "marker"
    marker.write_text("false", encoding="utf-8")
    spec = workshop.spec().with_copy("marker", to="/marker").with_commands("sh /marker")
    failed(workshop, spec)
    marker.write_text("true", encoding="utf-8")
    assert workshop.build(spec).image.status == "built"
