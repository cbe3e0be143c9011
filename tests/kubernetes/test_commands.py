"""The command lines of the manifests are ours: each flag and variable exists, each path lies where it may."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath

import click
import pytest
from tests.kubernetes.rendered import (
    EVERY,
    INIT,
    ROOT,
    Container,
    containers,
    data_of,
    environment,
    is_ours,
    of_kind,
    on_every_container,
    words,
)

from flyte_build.registry.descriptors import Platform
from flyte_build.worker.cli.commands import load

pytestmark = pytest.mark.real


def on_every_command(check: Callable[[str, Container], None]) -> Callable[[str], None]:
    """A test of each container that runs a command of ours."""

    def ours(name: str, container: Container) -> None:
        if is_ours(container):
            check(name, container)

    ours.__name__ = check.__name__
    return on_every_container(ours)


def parsed(name: str, container: Container) -> dict[str, object]:
    """The command's parameters by the container's words, as click reads them; files need not be here."""
    program, command, *arguments = words(name, container)
    assert program == "flyte-build"
    found = load(command)
    context = click.Context(found)
    options, rest, _ = found.make_parser(context).parse_args(list(arguments))
    assert rest == []
    values: dict[str, object] = {}
    for one in found.params:
        if one.name in options:
            given = options[one.name]
            values[one.name] = given if isinstance(one.type, click.Path) else one.type_cast_value(context, given)
    return values


@on_every_command
def test_every_flag_exists_and_takes_what_it_is_given(name: str, container: Container) -> None:
    values = parsed(name, container)
    assert values["state"]
    for text in values.get("platforms", ()) or ():  # type: ignore[attr-defined] # click's `multiple`
        Platform.parse(str(text))


def test_what_a_killed_build_leaves_is_taken_leave_of() -> None:
    """A worker that is process 1 would keep the orphans of every build that is stopped, as zombies."""
    for name in EVERY:
        workers = [one for one in containers(name) if is_ours(one) and one.spec["args"][0] == "worker"]
        assert all(one.spec["command"][:2] == INIT for one in workers)


def test_a_flag_that_does_not_exist_is_seen() -> None:
    (worker,) = [one for one in containers("production") if one.name == "flyte-build-builder/worker"]
    wrong = Container(workload=worker.workload, spec={**worker.spec, "args": ["worker", "--drains=540"]})
    with pytest.raises(click.NoSuchOption):
        parsed("production", wrong)


def test_endpoint_and_workers_of_an_overlay_agree() -> None:
    for name in EVERY:
        found = {one.spec["args"][0]: parsed(name, one) for one in containers(name) if is_ours(one)}
        if "serve" in found:
            assert found["serve"].get("access") == found["worker"].get("access")
            assert found["serve"].get("lease") == found["worker"].get("lease")
            assert found["serve"]["no_worker"] is True


@on_every_command
def test_an_endpoint_listens_for_others_only_with_rules(name: str, container: Container) -> None:
    values = parsed(name, container)
    if container.spec["args"][0] == "serve":
        assert (values["host"] == "0.0.0.0") == ("access" in values)
        assert (name == "trial") == (values["host"] == "127.0.0.1")
        assert "access" not in values or str(values["public_url"]).startswith("https://")


@on_every_command
def test_what_is_written_lies_below_a_volume_and_is_made_by_the_process(name: str, container: Container) -> None:
    """A volume's own root belongs to root: the process closes its folders to others, which only an owner can."""
    known = environment(name, container)
    values = parsed(name, container)
    mounts = {PurePosixPath(one["mountPath"]): one.get("readOnly", False) for one in container.spec["volumeMounts"]}
    written = [str(values["state"]), known["FLYTE_BUILD_CACHE"]]
    written += [known["FLYTE_BUILD_STORE"]] if known["FLYTE_BUILD_STORE"].startswith("/") else []
    for place in written:
        above = [mount for mount in mounts if mount in PurePosixPath(place).parents]
        assert above, f"{place} is on the read-only root, or a volume itself"
        assert not mounts[above[0]]
    read = [values.get("access"), values.get("builder_tls"), known["DOCKER_CONFIG"], known.get("FLYTE_BUILD_SECRETS")]
    for one in read:
        assert one is None or any(PurePosixPath(str(one)).is_relative_to(mount) for mount in mounts)


@pytest.mark.parametrize("name", [one for one in EVERY if one != "build-task-only"])
def test_every_setting_is_one_that_the_code_reads_or_the_manifests_do(name: str) -> None:
    reference = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    used = str([one.spec for one in containers(name)])
    for key in data_of(name, "ConfigMap", "flyte-build-settings"):
        if key.startswith("FLYTE_BUILD_"):
            assert f"`{key}`" in reference, key
        elif key != "FLYTE_URL":  # a replacement's
            assert f"$({key})" in used, key


@on_every_command
def test_workers_and_buildkit_use_one_socket_or_one_service(name: str, container: Container) -> None:
    if container.spec["args"][0] != "worker":
        return
    builder = str(parsed(name, container)["builder"])
    kits = [one for one in containers(name) if one.is_buildkit]
    (kit,) = kits
    if builder.startswith("unix://"):
        assert f"--addr={builder}" in kit.spec["args"]
        assert kit.workload is container.workload
        folder = str(PurePosixPath(builder.removeprefix("unix://")).parent)
        volumes = {
            next(mount["name"] for mount in one.spec["volumeMounts"] if mount["mountPath"] == folder)
            for one in (kit, container)
        }
        assert volumes == {"buildkit-socket"}
    else:
        assert "builder_tls" in parsed(name, container)
        assert {"--tlscacert", "--tlscert", "--tlskey"} <= {one.split("=")[0] for one in kit.spec["args"]}


def test_builds_per_pod_is_what_the_autoscaler_counts_with() -> None:
    for name in ("eks", "gke"):
        (scaled,) = of_kind(name, "ScaledObject")
        target = scaled["spec"]["advanced"]["scalingModifiers"]["target"]
        assert target == data_of(name, "ConfigMap", "flyte-build-settings")["BUILDS_PER_POD"]


def test_what_the_autoscaler_reads_is_said_by_our_metrics() -> None:
    from flyte_build.worker.operating.metrics import Metrics

    metrics = Metrics("0")
    metrics.watch_queue(lambda: ({"queued": 3, "running": 4}, 1.0))
    said = metrics.text().decode().splitlines()
    reference = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
    (scaled,) = of_kind("eks", "ScaledObject")
    triggers = {one["name"]: one["metadata"]["valueLocation"] for one in scaled["spec"]["triggers"]}
    assert set(re.findall(r"[a-z]+", scaled["spec"]["advanced"]["scalingModifiers"]["formula"])) == set(triggers)
    values = {"queued": 3.0, "running": 4.0}
    for name, location in triggers.items():
        assert f"{location} {values[name]}" in said
        assert f"| `{location.partition('{')[0]}` |" in reference
