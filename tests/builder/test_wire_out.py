"""A spec as `spec.pb` with its files: read back it is planned as before, and what cannot be said is refused."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from flyteidl2.imagebuilder import definition_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st
from tests.builder import trees
from tests.builder.doubles import ARM64, BASE, image, planned, write

from flyte_build.builder.canonical import encode
from flyte_build.builder.sources import wire
from flyte_build.builder.sources.sdk import _CREATES_FLYTE_USER
from flyte_build.builder.sources.wire_out import write as send
from flyte_build.builder.spec import (
    CodeBundle,
    Commands,
    Copy,
    ImageSpec,
    PipOptions,
    PoetryProject,
    SecretMount,
    UvProject,
)
from flyte_build.registry.errors import InvalidSpec

FILES = {
    "src/app.py": "print(1)",
    "src/run.sh": "#!/bin/sh",
    "src/notes.md": "notes",
    "src/empty/": "",
    "note.txt": "hello",
    "requirements.txt": "-r more/base.txt\nhttpx",
    "more/base.txt": "numpy",
    ".dockerignore": "src/*.md\n",
    "script.py": "# /// script\n# dependencies = ['idna']\n# ///\n",
    **{f"uv/{name}": text for name, text in trees.WORKSPACE.items()},
    "uv/uv.lock": trees.LOCK,
    "poetry/pyproject.toml": trees.POETRY["pyproject.toml"],
    "poetry/poetry.lock": trees.POETRY_LOCK,
    "poetry/src/app/__init__.py": "1",
    "dist/member-1.0-py3-none-any.whl": "wheel",
}
TOKEN = (SecretMount(name="team.token", env="TOKEN"), SecretMount(name="file"))
PIP = PipOptions(index_url="https://a.test", extra_index_urls=("https://b.test",), pre=True, extra_args="--no-deps")


def plain(**changes: object) -> ImageSpec:
    """An image that needs no Python: whoever receives the message takes the one in it for the sender's own."""
    return image(python=None, **changes)


SPECS: dict[str, ImageSpec] = {
    "apt": plain().with_apt("git", "curl"),
    "pip": image().with_pip("numpy", "httpx", options=PIP),
    "requirements": image().with_requirements("requirements.txt", options=PIP),
    "commands": image().with_commands("a", "b", secrets=TOKEN),
    "env and workdir": plain().with_env({"B": "2", "A": "$B"}).with_workdir("/app"),
    "a folder": plain().with_copy("src", to="/app", ignore=("*.sh",)),
    "a folder's contents": plain().with_copy("src", to="/app", contents=True),
    "a folder less what is ignored": plain(dockerignore=".dockerignore").with_copy("src", to="/app"),
    "a file": plain().with_copy("note.txt", to="/app/renamed.txt"),
    "a file into a folder": plain().with_copy("note.txt", to="/app/"),
    "a bundle": plain().with_code_bundle("src", "*.py", to="/code"),
    "a script": image().with_uv_script("script.py"),
    "wheels": image().with_wheels("dist", "member", options=PipOptions(pre=True)),
    "a uv project": image().with_uv_project("uv"),
    "a uv project and itself": image().with_uv_project(
        "uv", install="project", options=PipOptions(extra_args="--no-dev")
    ),
    "a member of a uv workspace": image().with_uv_project("uv/member", install="project"),
    "a Poetry project": image().with_layer(PoetryProject(project="poetry", extra_args="--only main", secrets=TOKEN)),
    "a Poetry project and itself": image().with_poetry_project("poetry", install="project"),
    "another platform and no Python": image(python=None, platforms=(ARM64,)).with_apt("git"),
    "the SDK's user": image()
    .with_commands(f"{_CREATES_FLYTE_USER} && true")
    .with_layer(Copy(source="src", to="/app", owner="flyte"))
    .with_user("flyte")
    .with_workdir("/home/flyte"),
}


def returned(spec: ImageSpec, root: Path, context: Path) -> ImageSpec:
    """`spec`, sent and received."""
    return wire.parse(send(spec, root, context), name=spec.name, context=context)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_what_is_sent_and_read_back_is_planned_as_it_was(tmp_path: Path, spec: ImageSpec) -> None:
    root = write(tmp_path / "root", FILES, executable=("src/run.sh",))
    back = returned(spec, root, tmp_path / "context")
    assert encode(planned(back, tmp_path / "context")) == encode(planned(spec, root))


def test_it_is_the_same_bytes_wherever_it_lies(tmp_path: Path) -> None:
    sent = []
    for name in ("one", "much/deeper"):
        root = write(tmp_path / name / "root", FILES, executable=("src/run.sh",))
        spec = image().with_uv_project(str(root / "uv")).with_copy(str(root / "src"), to="/app")
        spec = spec.with_requirements(str(root / "requirements.txt")).with_env({"B": "1", "A": "2"})
        context = tmp_path / name / "context"
        data = send(spec, root, context)
        files = {path.relative_to(context): path.read_bytes() for path in context.rglob("*") if path.is_file()}
        sent.append((data, files))
        assert str(tmp_path).encode() not in data
    assert sent[0] == sent[1]


def test_a_project_without_sources_sends_two_files(tmp_path: Path) -> None:
    root = write(tmp_path / "root", FILES)
    send(image().with_poetry_project("poetry"), root, tmp_path / "context")
    assert sorted(path.name for path in (tmp_path / "context").rglob("*") if path.is_file()) == [
        "poetry.lock",
        "pyproject.toml",
    ]


words = st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r"), max_size=9)


@given(
    st.lists(
        st.one_of(
            st.lists(st.text("a \"'$\\\n#é", min_size=1).filter(str.strip), min_size=1, max_size=3).map(
                lambda some: image().with_commands(*some).layers[0]
            ),
            st.dictionaries(st.sampled_from("ABC"), words, max_size=3).map(lambda one: image().with_env(one).layers[0]),
            st.sampled_from(["git", "curl=1", "gcc:arm64"]).map(lambda one: image().with_apt(one).layers[0]),
            words.filter(lambda one: one and "$" not in one and min(one) >= " ").map(
                lambda one: image().with_workdir(one).layers[0]
            ),
        ),
        max_size=5,
    ).map(tuple)
)
def test_text_of_any_kind_comes_back(layers: tuple[object, ...]) -> None:
    spec = image(layers=layers, python="3.12" if any(isinstance(one, Commands) for one in layers) else None)
    with tempfile.TemporaryDirectory() as folder:
        assert returned(spec, Path(), Path(folder)) == spec


REFUSED: list[tuple[str, Callable[[], ImageSpec], str]] = [
    ("a user", lambda: image().with_user("me"), "layers[0].user: a user layer cannot be said"),
    (
        "an owner",
        lambda: image().with_layer(Copy(source="src", to="/a", owner="me")),
        "layers[0].copy: the owner 'me' cannot be said",
    ),
    (
        "a bundle's owner",
        lambda: image().with_layer(CodeBundle(folder="src", files=("*.py",), owner="me")),
        "layers[0].code_bundle: the owner 'me'",
    ),
    ("pixi", lambda: image().with_pixi_project("pixi.toml"), "layers[0].pixi_project: "),
    (
        "a project of a lock elsewhere",
        lambda: image().with_layer(UvProject(project="uv", lock="elsewhere/uv.lock", install="project")),
        "layers[0].uv_project: 'uv' lies outside of 'elsewhere', the folder of the lock (move it there)",
    ),
    ("a Dockerfile", lambda: ImageSpec(name="a", dockerfile="Dockerfile"), "dockerfile: cannot be sent"),
    ("a missing file", lambda: image().with_copy("absent"), "layers[0].copy: 'absent' does not exist"),
]


@pytest.mark.parametrize(("make", "said"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_cannot_be_said_is_refused(tmp_path: Path, make: Callable[[], ImageSpec], said: str) -> None:
    root = write(tmp_path / "root", {**FILES, "elsewhere/uv.lock": trees.LOCK, "pixi.toml": "[project]\nname='a'\n"})
    with pytest.raises(InvalidSpec) as caught:
        send(make(), root, tmp_path / "context")
    (problem,) = caught.value.problems
    assert str(problem).startswith(said)


def test_all_that_cannot_be_said_is_said_at_once(tmp_path: Path) -> None:
    root = write(tmp_path / "root", FILES)
    with pytest.raises(InvalidSpec) as caught:
        send(image().with_user("me").with_apt("git").with_copy("absent").with_user("you"), root, tmp_path / "c")
    assert [problem.path for problem in caught.value.problems] == ["layers[0].user", "layers[2].copy", "layers[3].user"]


def test_the_message_says_base_python_and_platforms(tmp_path: Path) -> None:
    message = pb.ImageSpec()
    message.ParseFromString(send(image(platforms=(ARM64,)), tmp_path, tmp_path / "context"))
    assert (message.base_image, message.python_version, list(message.platform)) == (BASE, "3.12", ["linux/arm64"])
