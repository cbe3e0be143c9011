"""The attacker who writes a spec: what looks like an option of the engine stays text."""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from flyteidl2.imagebuilder import definition_pb2 as pb
from tests.builder.doubles import BASE, planned

from flyte_build.builder import dockerfile
from flyte_build.builder.check_plan import require_sound
from flyte_build.builder.installs import (
    CopyFiles,
    LocalProject,
    PinnedInstall,
    PipInstall,
    PixiInstall,
    PoetryInstall,
    ProjectInstall,
    UvSync,
    WheelInstall,
)
from flyte_build.builder.plan import LayersPlan, PlanLayer
from flyte_build.builder.recipe import RECIPE
from flyte_build.builder.sources import wire
from flyte_build.builder.spec import Commands, PipOptions, SecretMount, User, Workdir
from flyte_build.builder.trees import FileTree, PlanFile
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import FlyteBuildError, InvalidInput, ServiceDenied
from flyte_build.registry.names import Digest, ImageReference
from flyte_build.worker.access.policy import Policies
from flyte_build.worker.access.targets import repository_of

HOSTILE = (
    "--network=host true",
    "--security=insecure true",
    "--mount=type=ssh true",
    "--mount=type=bind,source=/,target=/host true",
    "--mount=type=secret,id=flyte-build-netrc,target=/x true",
    "x\nRUN --network=host true",
    "x\r\nUSER root\nRUN --security=insecure true",
    "x \\\nRUN --network=host true",
    "x\n# syntax=evil.example/frontend",
    "<<EOF\nRUN --network=host true\nEOF",
    "x,target=/etc,from=evil.example/image",
    "$(true) `true` ${PATH}",
    "x\0y",
    "\u2028RUN --network=host true",
)
WORDS = ("FROM", "ARG", "USER", "RUN", "COPY", "ENV", "WORKDIR", "LABEL", "ENTRYPOINT", "SHELL", "")
ALLOWED = (
    "--mount=type=bind,from=recipe,",
    "--mount=type=bind,from=",
    "--mount=type=cache,",
    "--mount=type=secret,",
    "--mount=type=bind,source=trees/",
)


def layers(text: str) -> dict[str, Any]:
    options = pb.PipOptions(index_url=text, extra_index_urls=[text], extra_args=text)
    secret = [{"group": "g", "key": text}]
    return {
        "a command": pb.Layer(commands=pb.Commands(cmd=[text])),
        "an apt package": pb.Layer(apt_packages=pb.AptPackages(packages=[text])),
        "a pip package": pb.Layer(pip_packages=pb.PipPackages(packages=[text])),
        "an option of pip": pb.Layer(pip_packages=pb.PipPackages(packages=["x"], options=options)),
        "a variable": pb.Layer(env=pb.Env(env_variables={"X": text})),
        "a variable's name": pb.Layer(env=pb.Env(env_variables={text: "x"})),
        "a folder to work in": pb.Layer(workdir=pb.WorkDir(workdir=text)),
        "a place of files": pb.Layer(copy_config=pb.CopyConfig(src="file", dst=text)),
        "a source of files": pb.Layer(copy_config=pb.CopyConfig(src=text, dst="/x")),
        "a secret's name": pb.Layer(commands=pb.Commands(cmd=["x"], secret_mounts=secret)),
        "a secret's variable": pb.Layer(commands=pb.Commands(cmd=["x"], secret_mounts=[{"key": "k", "env_var": text}])),
    }


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("where", tuple(layers("")))
def test_no_text_of_a_client_becomes_an_instruction_or_an_option(where: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    try:
        message = pb.ImageSpec(base_image=BASE, python_version="3.12", layers=[layers(text)[where]])
    except ValueError:
        return  # protobuf cannot carry it
    try:
        plan = planned(wire.parse(message.SerializeToString(), name="demo", context=tmp_path), tmp_path)
    except FlyteBuildError:
        return
    written = dockerfile.render(plan, ImageReference.parse(f"registry.test/base@sha256:{'a' * 64}"))
    _only_ours(written)


def plans(text: str) -> dict[str, PlanLayer]:
    """Every free text of a plan, which no spec has checked."""
    tree = FileTree(files=(PlanFile(path=text, sha256="b" * 64),))
    plain = FileTree(files=(PlanFile(path="x", sha256="b" * 64),))
    digest = Digest("sha256", "c" * 64)
    secrets = (SecretMount(name=text), SecretMount(name="x", env=text))
    options = PipOptions(index_url=text, extra_index_urls=(text,), extra_args=text)
    return {
        "a path": CopyFiles(tree=tree, to="/x"),
        "a path of one file": CopyFiles(tree=tree, to="/x", single=True),
        "a place": CopyFiles(tree=plain, to=text),
        "an owner": CopyFiles(tree=plain, to="/x", owner=text),
        "a user": User(name=text),
        "a folder to work in": Workdir(path=text),
        "a command": Commands(commands=(text,)),
        "a secret of a command": Commands(commands=("x",), secrets=secrets[:1]),
        "a variable of a secret": Commands(commands=("x",), secrets=secrets[1:]),
        "a package": PipInstall(packages=(text,)),
        "an option": PipInstall(packages=("x",), options=options),
        "a requirements file": PipInstall(requirements=(text,), tree=tree),
        "pins": PinnedInstall(tree=tree, secrets=secrets[:1]),
        "a project": ProjectInstall(tree=plain, projects=(LocalProject(path=text),)),
        "a marker": ProjectInstall(tree=plain, projects=(LocalProject(path="x", marker=text),)),
        "an argument of uv": UvSync(tree=plain, arguments=(text,)),
        "an argument of poetry": PoetryInstall(tree=plain, arguments=(text,)),
        "a wheel": WheelInstall(tree=plain, package=text),
        "a manifest": PixiInstall(tool=digest, tree=plain, manifest=text),
        "an environment": PixiInstall(tool=digest, tree=plain, manifest="x", environment=text),
        "an argument of pixi": PixiInstall(tool=digest, tree=plain, manifest="x", arguments=(text,)),
    }


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("where", tuple(plans("")))
def test_no_text_of_a_plan_becomes_an_instruction_or_an_option(where: str, text: str) -> None:
    base, amd64 = Digest("sha256", "a" * 64), Platform.parse("linux/amd64")
    plan = LayersPlan(recipe=RECIPE, base=base, python="3.12", platforms=(amd64,), layers=(plans(text)[where],))
    try:
        require_sound(plan)
    except FlyteBuildError:
        return
    _only_ours(dockerfile.render(plan, ImageReference.parse(f"registry.test/base@{base}")))


def _only_ours(written: str) -> None:
    for line in written.replace("\\\n", " ").split("\n"):  # BuildKit knows no other end of a line
        word, _, rest = line.strip().partition(" ")
        assert word in WORDS, line
        if word != "RUN":
            continue
        flags, bracket, _ = rest.partition("[")
        assert bracket, "a step is a list of words, which nothing can leave"
        assert all(flag.startswith(ALLOWED) for flag in shlex.split(flags)), line
        assert "network" not in flags
        assert "security" not in flags


@pytest.mark.parametrize(
    "target",
    [
        "",
        "demo",
        ":1",
        "../demo:1",
        "a/../../b:1",
        "r.example/acme/p/../q/demo:1",
        "r.example/acme/p/./demo:1",
        "r.example/acme/p//demo:1",
        "r.example/acme/p/%2e%2e/q/demo:1",
        "r.example/acme/pp/demo:1",
        "r.example/acme/P/demo:1",
        "user:password@r.example/acme/p/demo:1",
        "r.example/acme/p/demo@sha256:0:1",
        "r.example\\acme/p/demo:1",
        "r.example/acme/p/demo\n:1",
        "evil.example/r.example/acme/p/demo:1",
        "r.example:443/acme/p/demo:1",
        "https://r.example/acme/p/demo:1",
        "demo,name=r.example/acme/q/demo:1",
    ],
)
def test_a_target_is_no_way_to_another_place(target: str) -> None:
    policy = Policies(registry="r.example/acme", guarded=True).of("p", "development")
    with pytest.raises((InvalidInput, ServiceDenied)):
        repository_of(target, policy)


def test_the_tag_of_a_target_counts_for_nothing() -> None:
    policy = Policies(registry="r.example/acme", guarded=True).of("p", "development")
    for target in ("demo:1", "demo:", "demo:../x y", "r.example/acme/p/demo:latest"):
        with suppress(InvalidInput):
            assert str(repository_of(target, policy)) == "r.example/acme/p/demo"
