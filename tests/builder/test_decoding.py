"""A plan that comes from somebody else: read back exactly, or refused with a sentence."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builder.doubles import image, planned, write
from tests.builder.specs import MAYBE, OPTIONS, PLATFORMS, SECRETS, TEXT, WORDS

from flyte_build.builder.canonical import encode
from flyte_build.builder.check_plan import require_sound
from flyte_build.builder.decoding import MAX_PLAN, UnknownRecipe, decode
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
from flyte_build.builder.plan import DockerfilePlan, LayersPlan, PlanImage
from flyte_build.builder.recipe import RECIPE
from flyte_build.builder.spec import (
    Apt,
    Commands,
    Copy,
    Env,
    PipOptions,
    SecretMount,
    User,
    Workdir,
    sorted_variables,
)
from flyte_build.builder.trees import FileTree, PlanFile
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidInput, InvalidSpec
from flyte_build.registry.names import Digest

DIGEST = Digest("sha256", "a" * 64)
MANY = st.lists(TEXT, max_size=3).map(tuple)
FILES = st.builds(PlanFile, path=TEXT, executable=st.booleans(), sha256=TEXT, size=st.integers(0, 1 << 40), link=MAYBE)
TREES = st.builds(FileTree, files=st.lists(FILES, max_size=3).map(tuple), folders=st.lists(TEXT, max_size=2).map(tuple))
COMMON: dict[str, Any] = {"tree": TREES, "secrets": SECRETS}
LAYERS: list[st.SearchStrategy[Any]] = [
    st.builds(Apt, packages=MANY, secrets=SECRETS),
    st.builds(Commands, commands=MANY, secrets=SECRETS),
    st.builds(Env, variables=st.dictionaries(TEXT, TEXT, max_size=3).map(sorted_variables)),
    st.builds(Workdir, path=WORDS),
    st.builds(User, name=WORDS),
    st.builds(CopyFiles, tree=TREES, to=TEXT, single=st.booleans(), owner=MAYBE),
    st.builds(PipInstall, packages=MANY, requirements=MANY, options=OPTIONS, **COMMON),
    st.builds(PinnedInstall, options=OPTIONS, **COMMON),
    st.builds(
        ProjectInstall,
        projects=st.lists(st.builds(LocalProject, path=TEXT, marker=TEXT), max_size=2).map(tuple),
        options=OPTIONS,
        **COMMON,
    ),
    st.builds(UvSync, arguments=MANY, project=st.booleans(), options=OPTIONS, **COMMON),
    st.builds(WheelInstall, package=TEXT, options=OPTIONS, **COMMON),
    st.builds(PoetryInstall, arguments=MANY, **COMMON),
    st.builds(
        PixiInstall,
        tool=st.just(DIGEST),
        manifest=TEXT,
        environment=TEXT,
        locked=st.booleans(),
        arguments=MANY,
        **COMMON,
    ),
]
SEVERAL = st.lists(PLATFORMS, max_size=2).map(tuple)
PLANS = st.one_of(
    st.builds(
        LayersPlan,
        recipe=st.just(RECIPE),
        base=st.just(DIGEST),
        python=MAYBE,
        platforms=SEVERAL,
        layers=st.lists(st.one_of(LAYERS), max_size=4).map(tuple),
    ),
    st.builds(
        DockerfilePlan,
        recipe=st.just(RECIPE),
        text=TEXT,
        tree=TREES,
        images=st.lists(st.builds(PlanImage, name=TEXT, digest=st.just(DIGEST)), max_size=2).map(tuple),
        platforms=SEVERAL,
    ),
)


@given(PLANS)
def test_what_is_read_back_is_what_was_written(plan: LayersPlan | DockerfilePlan) -> None:
    assert decode(encode(plan)) == plan


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["recipe", "base", "python", "platforms", "layers", "kind", "more"]), JSON)
def test_a_value_that_means_nothing_is_a_sentence_and_never_another_error(key: str, value: Any) -> None:
    document = json.loads(encode(plan_of()))
    document[key] = value
    written = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    with contextlib.suppress(InvalidInput):
        assert encode(decode(written)) == written


def plan_of(*layers: Any, **changes: Any) -> LayersPlan:
    parts = {"recipe": RECIPE, "base": DIGEST, "python": "3.12", "platforms": (Platform.parse("linux/amd64"),)}
    return LayersPlan(**{**parts, "layers": layers, **changes})


def changed(old: bytes, new: bytes) -> bytes:
    data = encode(plan_of(Apt(packages=("git",))))
    assert old in data
    return data.replace(old, new)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[" * 100_000, id="a tower of brackets"),
        pytest.param(b"{" + b'"a":{' * 50_000, id="a tower of objects"),
        pytest.param(b" " * (MAX_PLAN + 1), id="more than a plan may have"),
        pytest.param(changed(b'"recipe":1', b'"recipe":' + b"9" * 1_000_000), id="a number of a million digits"),
        pytest.param(changed(b'"recipe":1', b'"recipe":1.0'), id="a fraction"),
        pytest.param(changed(b'"recipe":1', b'"recipe":true'), id="a truth for a number"),
        pytest.param(changed(b'"recipe":1', b'"recipe":1,"recipe":1'), id="a key twice"),
        pytest.param(changed(b'"recipe":1', b'"recipe": 1'), id="a blank"),
        pytest.param(changed(b'"python":"3.12"', b'"python":"3.1\\u0032"'), id="an escape that needs none"),
        pytest.param(changed(b'"python":"3.12"', b'"python":"\\ud800"'), id="half a character"),
        pytest.param(changed(b'"python":"3.12"', b'"python":"3.12","user":"root"'), id="a key more"),
        pytest.param(changed(b',"python":"3.12"', b""), id="a key less"),
        pytest.param(changed(b"linux/amd64", b"linux/x86_64"), id="another spelling of a platform"),
        pytest.param(changed(b'"kind":"apt"', b'"kind":"network"'), id="a layer that nobody knows"),
        pytest.param(changed(b'"kind":"apt"', b'"kind":["apt"]'), id="a kind that is a list"),
        pytest.param(changed(b'"kind":"plan"', b'"kind":"spec"'), id="a plan that is none"),
        pytest.param(changed(b'["git"]', b'{"0":"git"}'), id="an object for a list"),
        pytest.param(changed(b'["git"]', b"[7]"), id="a number for a text"),
        pytest.param(changed(b"sha256:aa", b"sha256:zz"), id="a digest of other letters"),
    ],
)
def test_what_is_no_plan_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode(data)


@pytest.mark.parametrize(
    ("recipe", "who"),
    [
        pytest.param(RECIPE + 1, "upgrade the build service", id="a newer client"),
        pytest.param(RECIPE - 1, "upgrade flyte-build where the plan was made", id="an older client"),
    ],
)
def test_an_unknown_recipe_says_who_is_to_be_upgraded(recipe: int, who: str) -> None:
    data = json.loads(encode(plan_of())) | {"recipe": recipe, "something": "of the future"}
    with pytest.raises(UnknownRecipe) as refused:
        decode(json.dumps(data).encode())
    assert who in refused.value.hint


def file(path: str, **changes: Any) -> PlanFile:
    return PlanFile(**{"path": path, "sha256": "b" * 64, "size": 1, **changes})


def copied(*files: PlanFile, folders: tuple[str, ...] = (), **changes: Any) -> CopyFiles:
    return CopyFiles(**{"tree": FileTree(files=files, folders=folders), "to": "/app", **changes})


def link(path: str, to: str) -> PlanFile:
    return PlanFile(path=path, link=to)


SECRET = (SecretMount(name="x,target=/etc"),)
HOSTILE: dict[str, Any] = {
    "a path upwards": copied(file("../x")),
    "a path upwards in the middle": copied(file("a/../../x")),
    "a path from the root": copied(file("/etc/passwd")),
    "an empty path": copied(file("")),
    "a path with a NUL": copied(file("a\0b")),
    "a name too long": copied(file("a" * 300)),
    "a path too deep": copied(file("a/" * 200 + "x")),
    "a path too long": copied(file("/".join(["a" * 200] * 16))),
    "a path twice": copied(file("a"), file("a", size=2)),
    "paths not in order": copied(file("b"), file("a")),
    "a folder upwards": copied(folders=("../x",)),
    "a file below a link": copied(link("a", "b"), file("a/x")),
    "a folder below a link": copied(link("a", "b"), folders=("a/x",)),
    "a folder that is a link": copied(link("a", "b"), folders=("a",)),
    "a link from the root": copied(link("a", "/etc/shadow")),
    "a link upwards": copied(link("a/b", "../../x")),
    "a link to what is above": copied(link("a", "..")),
    "a link to nothing": copied(link("a", "")),
    "a link with a NUL": copied(link("a", "b\0")),
    "a link with a digest": copied(PlanFile(path="a", link="b", sha256="b" * 64)),
    "a link with a size": copied(PlanFile(path="a", link="b", size=1)),
    "a link that is run": copied(PlanFile(path="a", link="b", executable=True)),
    "a file without a digest": copied(file("a", sha256="../../etc/passwd")),
    "a negative size": copied(file("a", size=-1)),
    "files larger than any context": copied(file("a", size=1 << 40)),
    "one file that is two": copied(file("a"), file("b"), single=True),
    "one file that is a pattern": copied(file("*"), to="/x", single=True),
    "one file with a blank before its name": copied(file(" a"), to="/x", single=True),
    "an owner with a flag": copied(file("a"), owner="root --from=evil.example/x"),
    "a place on two lines": copied(file("a"), to="/x\nRUN true"),
    "a user on two lines": User(name="root\nRUN --network=host true"),
    "a variable's name with a line": Env(variables=(("A\nRUN true", "x"),)),
    "a secret with options": Commands(commands=("true",), secrets=SECRET),
    "a secret of the machine's": Commands(commands=("true",), secrets=(SecretMount(name="flyte-build-netrc"),)),
    "a secret of an install with options": WheelInstall(tree=FileTree(), package="x", secrets=SECRET),
    "a package that is an option": PipInstall(packages=("--index-url=https://evil.example",)),
    "a package that is an option beside requirements": PipInstall(
        packages=("--index-url=https://evil.example",), requirements=("a",), tree=FileTree(files=(file("a"),))
    ),
    "an index with a password": PipInstall(
        packages=("x",), options=PipOptions(index_url="https://u:p4ssw0rd@evil.example/simple")
    ),
    "an install of nothing": PipInstall(),
    "requirements that are elsewhere": PipInstall(requirements=("../../x",)),
    "pins in two files": PinnedInstall(tree=FileTree(files=(file("a"), file("b")))),
    "pins in a folder": PinnedInstall(tree=FileTree(files=(file("x/a"),))),
    "pins beside a folder": PinnedInstall(tree=FileTree(files=(file("a"),), folders=("b",))),
    "pins that are a link": PinnedInstall(tree=FileTree(files=(link("a", "b"),))),
    "a marker with a NUL": ProjectInstall(tree=FileTree(), projects=(LocalProject(path="x", marker="a\0"),)),
    "a wheel that is an option": WheelInstall(tree=FileTree(), package="--find-links=/"),
    "a project that is elsewhere": ProjectInstall(tree=FileTree(), projects=(LocalProject(path="../x"),)),
    "an argument with a NUL": UvSync(tree=FileTree(), arguments=("a\0",)),
    "a manifest that ends a quote": PixiInstall(tool=DIGEST, tree=FileTree(), manifest='x"\nRUN true'),
    "an environment that is a path": PixiInstall(tool=DIGEST, tree=FileTree(), manifest="x", environment="../x"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_plan_that_no_spec_could_have_made_is_refused(name: str) -> None:
    plan = plan_of(HOSTILE[name])
    assert decode(encode(plan)) == plan
    with pytest.raises(InvalidSpec):
        require_sound(plan)


TWO = FileTree(files=(file("a"), file("x/b")))
SOUND: dict[str, Any] = {
    "a file of any name in a folder": copied(file("*"), to="/x/", single=True),
    "requirements": PipInstall(requirements=("a",), tree=TWO),
    "pins": PinnedInstall(tree=FileTree(files=(file("a"),))),
    "a project": ProjectInstall(tree=TWO, projects=(LocalProject(path="x", marker="python_version > '3'"),)),
    "a project of uv": UvSync(tree=TWO, arguments=("--no-dev",)),
    "a project of poetry": PoetryInstall(tree=TWO, arguments=("--only", "main")),
    "a project of pixi": PixiInstall(tool=DIGEST, tree=TWO, manifest="pixi.toml", arguments=("-v",)),
    "wheels": WheelInstall(tree=TWO, package="x"),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_layer_that_a_spec_could_have_made_is_sound(name: str) -> None:
    require_sound(plan_of(SOUND[name]))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"python": "3.12 && true"}, id="a Python that is a command"),
        pytest.param({"platforms": ()}, id="no platform"),
        pytest.param({"platforms": (Platform.parse("windows/amd64"),)}, id="a platform without uv"),
        pytest.param(
            {"platforms": tuple(map(Platform.parse, ("linux/arm64", "linux/amd64")))}, id="an order of its own"
        ),
    ],
)
def test_a_plan_with_a_head_of_its_own_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpec):
        require_sound(plan_of(**changes))


def test_what_a_spec_makes_is_sound(tmp_path: Path) -> None:
    write(tmp_path, {"app/a b.py": "1", "app/sub/": "", "app/x/y": "-> ../a b.py", "one.txt": "1", "r.txt": "six\n"})
    spec = image().with_apt("git").with_pip("six>=1").with_requirements("r.txt").with_copy("app", to="/app")
    spec = spec.with_copy("one.txt", to="/etc/one").with_layer(Copy(source="app", to=".", contents=True, owner="a:b"))
    spec = spec.with_commands("true", secrets=(SecretMount(name="s", env="S"),)).with_env({"A": "$B"}).with_user("me")
    (tmp_path / "empty").mkdir()
    plan = planned(
        spec.with_copy("empty", to="/e").with_copy("empty", to="/f", contents=True).with_workdir("/app"), tmp_path
    )
    assert isinstance(plan, LayersPlan)
    require_sound(plan)
    assert decode(encode(plan)) == plan
