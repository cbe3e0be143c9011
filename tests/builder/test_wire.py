"""`spec.pb`: what the unmodified SDK sends means what its image means, and what a liar sends is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import flyte
import pytest
from flyte._image import PythonWheels
from flyte._internal.imagebuild.remote_builder import _get_layers_proto
from flyteidl2.imagebuilder import definition_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st
from tests.builder import trees
from tests.builder.doubles import AMD64, ARM64, planned, write

from flyte_build.builder.canonical import encode
from flyte_build.builder.plan import BuildPlan
from flyte_build.builder.sources import sdk, wire
from flyte_build.registry.errors import InvalidInput, InvalidSpec

FILES = {
    "src/app.py": "print(1)",
    "src/deep/run.sh": "#!/bin/sh",
    "requirements.txt": "httpx",
    "note.txt": "hello",
}


def debian(name: str = "image") -> flyte.Image:
    return flyte.Image.from_debian_base(
        install_flyte=False, python_version=(3, 12), name=name, platform=("linux/amd64",)
    )


def plain() -> flyte.Image:
    return flyte.Image.from_base("registry.test/base:1").clone(name="image", extendable=True, python_version=(3, 12))


SECRET = flyte.Secret(key="key", group="group", as_env_var="KEY")
IMAGES: dict[str, Callable[[], flyte.Image]] = {
    "apt": lambda: plain().with_apt_packages("git", "curl", secret_mounts="a-key"),
    "pip": lambda: plain().with_pip_packages("numpy", "httpx>=0.27", index_url="https://a.test", pre=True),
    "pip with secrets": lambda: plain().with_pip_packages(
        "numpy", secret_mounts=[SECRET, "other"], extra_args="--no-deps"
    ),
    "requirements": lambda: plain().with_requirements(Path("requirements.txt")),
    "commands": lambda: plain().with_commands(["a", "b c"], secret_mounts=[SECRET]),
    "env": lambda: plain().with_env_vars({"B": "2", "A": "1 B=2"}),
    "workdir": lambda: plain().with_workdir("/app"),
    "a folder": lambda: plain().with_source_folder(Path("src")),
    "a folder somewhere": lambda: plain().with_source_folder(Path("src"), "/app", copy_contents_only=True),
    "a file": lambda: plain().with_source_file(Path("note.txt"), "/app"),
    "a file into a folder": lambda: plain().with_source_file(Path("src/deep/run.sh"), "/app/"),
    "files": lambda: plain().with_source_file([Path("note.txt"), Path("requirements.txt")]),
    "the SDK's own Debian image": debian,
    "all of them": lambda: (
        debian()
        .with_apt_packages("git")
        .with_requirements(Path("requirements.txt"))
        .with_pip_packages("numpy")
        .with_env_vars({"X": "y"})
        .with_commands(["true"])
        .with_source_folder(Path("src"), "/app")
        .with_source_file(Path("note.txt"), "/app")
    ),
    "projects": lambda: (
        flyte.Image.from_debian_base(install_flyte=False, name="a", platform=("linux/amd64",))
        .with_uv_project(Path("uv/pyproject.toml"))
        .with_uv_project(Path("uv/pyproject.toml"), project_install_mode="install_project", extra_args="--no-dev")
        .with_poetry_project(Path("poetry/pyproject.toml"), extra_args="--only main", secret_mounts="token")
        .with_poetry_project(Path("poetry/pyproject.toml"), project_install_mode="install_project")
        .clone(addl_layer=PythonWheels(wheel_dir=Path("dist"), package_name="member"))
    ),
}
PROJECTS = {
    **{f"uv/{name}": text for name, text in trees.WORKSPACE.items()},
    "uv/uv.lock": trees.LOCK,
    "poetry/pyproject.toml": trees.POETRY["pyproject.toml"],
    "poetry/poetry.lock": trees.POETRY_LOCK,
    "poetry/src/app/__init__.py": "1",
    "dist/member-1.0-py3-none-any.whl": "wheel",
}


def sent(image: flyte.Image, context: Path) -> bytes:
    """`spec.pb` of `image` as the SDK writes it; its files go to `context`."""
    message = _get_layers_proto(image, context)
    data: bytes = message.SerializeToString()
    return data


@pytest.mark.parametrize("make", IMAGES.values(), ids=IMAGES.keys())
def test_what_the_sdk_sends_is_planned_as_its_image_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[], flyte.Image]
) -> None:
    files = {**FILES, **PROJECTS}
    root, context = write(tmp_path / "root", files, executable=("src/deep/run.sh",)), tmp_path / "context"
    context.mkdir()
    monkeypatch.chdir(root)
    monkeypatch.setenv("UV_FROZEN", "1")  # the SDK would have uv check the lock against an index
    image = make()
    remote = wire.parse(sent(image, context), name="image", context=context, platforms=(AMD64,))
    assert encode(planned(remote, context)) == encode(planned(sdk.to_spec(image), root))


def test_two_machines_with_other_absolute_paths_get_equal_plans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_FROZEN", "1")
    plans = []
    for name in ("one", "deeper/other"):
        root, context = write(tmp_path / name / "root", {**FILES, **PROJECTS}), tmp_path / name / "context"
        context.mkdir()
        image = (
            flyte.Image.from_debian_base(install_flyte=False, name="a")
            .with_requirements(root / "requirements.txt")
            .with_uv_project(root / "uv/pyproject.toml")
            .with_poetry_project(root / "poetry/pyproject.toml")
            .with_source_folder(root / "src", "/app")
        )
        data = sent(image, context)
        assert (context / "_flyte_abs_context").is_dir()
        plans.append(parsed_and_planned(data, context))
    assert encode(plans[0]) == encode(plans[1])


def test_a_lock_cannot_name_folders_outside_of_the_context(tmp_path: Path) -> None:
    lock = trees.LOCK.replace("other/lib", "../../outside")
    context = write(tmp_path / "context", {"uv/pyproject.toml": trees.WORKSPACE["pyproject.toml"], "uv/uv.lock": lock})
    write(tmp_path, {"outside/pyproject.toml": ""})
    data = message(pb.Layer(uv_project=pb.UVProject(pyproject="uv", uvlock="uv/uv.lock")))
    with pytest.raises(InvalidSpec, match=r"layers\[0\].uv_project: 'outside' leads out of 'context'"):
        parsed_and_planned(data, context)


def test_the_message_names_no_platform_so_the_caller_does(tmp_path: Path) -> None:
    image = flyte.Image.from_debian_base(install_flyte=False, name="a", platform=("linux/arm64",))
    data = sent(image, tmp_path)
    assert wire.parse(data, name="a", context=tmp_path, platforms=(AMD64, ARM64)).platforms == (AMD64, ARM64)
    message = pb.ImageSpec(base_image="a", platform=["linux/arm64"])
    assert wire.parse(message.SerializeToString(), name="a", context=tmp_path, platforms=(AMD64,)).platforms == (ARM64,)


def parsed_and_planned(data: bytes, context: Path) -> BuildPlan:
    """As far as a request goes before anything is built."""
    return planned(wire.parse(data, name="image", context=context, platforms=(AMD64,)), context)


def message(*layers: pb.Layer, base: str = "registry.test/base:1") -> bytes:
    data: bytes = pb.ImageSpec(base_image=base, python_version="3.12", layers=layers).SerializeToString()
    return data


def copy(source: str) -> pb.Layer:
    return pb.Layer(copy_config=pb.CopyConfig(src=source, dst="/app"))


def required(file: str) -> pb.Layer:
    return pb.Layer(requirements=pb.Requirements(file=file))


ESCAPES = {
    "an absolute path": copy("/etc/passwd"),
    "a way up": copy("a/../../secret.txt"),
    "a way up and back": copy("sub/../note.txt"),
    "the context's parent": copy(".."),
    "the context itself": copy("."),
    "nothing": copy(""),
    "a NUL": copy("a\0b"),
    "a link out": copy("link"),
    "a file behind a link out": copy("up/secret.txt"),
    "a name that is too long": copy("x" * 5000),
    "absolute requirements": required("/etc/passwd"),
    "requirements of the parent": required("../secret.txt"),
    "requirements that are a link out": required("link"),
    "requirements that include the parent's": required("include.txt"),
    "requirements that include a link out": required("include-link.txt"),
}


@pytest.mark.parametrize("layer", ESCAPES.values(), ids=ESCAPES.keys())
def test_a_path_out_of_the_context_is_refused_and_nothing_there_is_told(tmp_path: Path, layer: pb.Layer) -> None:
    write(
        tmp_path,
        {
            "secret.txt": "s3cret",
            "context/note.txt": "here",
            "context/sub/": "",
            "context/link": "-> ../secret.txt",
            "context/up": "-> ..",
            "context/include.txt": "-r ../secret.txt",
            "context/include-link.txt": "-r link",
        },
    )
    with pytest.raises(InvalidInput) as caught:
        parsed_and_planned(message(layer), tmp_path / "context")
    assert "layers[0].copy" in caught.value.sentence or "layers[0].requirements" in caught.value.sentence
    assert "s3cret" not in caught.value.sentence


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    data = message(
        copy("/a"), pb.Layer(), pb.Layer(uv_project=pb.UVProject(pyproject="/b")), required("gone.txt"), base=""
    )
    with pytest.raises(InvalidSpec) as caught:
        wire.parse(data, name="train", context=tmp_path)
    assert [str(problem) for problem in caught.value.problems] == [
        "layers[0].copy_config: '/a' is not a path in the context",
        "layers[1].an empty layer: is a kind of layer that is not supported yet",
        "layers[2].uv_project: '/b' is not a path in the context",
        "layers[3].requirements: the requirements file 'gone.txt' does not exist",
        "base_image: is missing",
    ]


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\xff", b"{}", b"\x1f\x8b\x08"], ids=repr)
def test_garbage_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InvalidSpec):
        wire.parse(data, name="a", context=tmp_path)


@given(st.binary(max_size=64) | st.binary(max_size=32).map(lambda tail: message(copy("a")) + tail))
def test_no_bytes_raise_anything_but_a_sentence(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    context = tmp_path_factory.getbasetemp()
    with suppress(InvalidInput):
        parsed_and_planned(data, context)
