"""What changed between two plans, in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builder.doubles import AMD64, ARM64, image, planned, write

from flyte_build.builder.canonical import encode
from flyte_build.builder.difference import differences
from flyte_build.builder.files import FileSet
from flyte_build.builder.pinning import pinned
from flyte_build.builder.plan import PipInstall
from flyte_build.builder.spec import ImageSpec, PipOptions

BEFORE = image().with_apt("git").with_pip("numpy", "httpx").with_env({"A": "1"}).with_copy("src", to="/app")
CHANGES = [
    ("a package", BEFORE.with_pip("idna"), ["layer 5 (pip) is new"]),
    ("the base", image(base="registry.test/base:2"), ["base was sha256:"]),
    ("the Python", image(python="3.13"), ["python was 3.12 and is 3.13"]),
    ("the Python that was one", image(python=None), ["python was 3.12 and is nothing"]),
    ("a platform", image(platforms=(AMD64, ARM64)), ["linux/arm64 is new in platforms"]),
]


def said(old: ImageSpec, new: ImageSpec, root: Path = Path()) -> list[str]:
    plans = [json.loads(encode(planned(spec, root))) for spec in (old, new)]
    return list(differences(*plans))


@pytest.mark.parametrize(("new", "expected"), [pytest.param(new, words, id=name) for name, new, words in CHANGES])
def test_a_change_of(tmp_path: Path, new: ImageSpec, expected: list[str]) -> None:
    write(tmp_path, {"src/a.py": "1"})
    old = BEFORE if new.layers else image()
    found = said(old, new, tmp_path)
    assert len(found) == len(expected)
    assert all(word in sentence for word, sentence in zip(expected, found, strict=True))


def test_a_changed_layer_says_what_in_it_changed(tmp_path: Path) -> None:
    write(tmp_path, {"src/a.py": "1", "src/b.py": "1"})
    old = json.loads(encode(planned(BEFORE, tmp_path)))
    write(tmp_path, {"src/a.py": "2", "src/c.py": "3"})
    (tmp_path / "src" / "b.py").unlink()
    new = image().with_apt("git").with_pip("numpy", "polars").with_env({"A": "2"}).with_copy("src", to="/app")
    found = differences(old, json.loads(encode(planned(new, tmp_path))))
    assert set(found) == {
        "layer 2 (pip): httpx is gone from packages",
        "layer 2 (pip): polars is new in packages",
        "layer 3 (env): A changed in variables",
        "layer 4 (copy): src/a.py changed in files",
        "layer 4 (copy): src/b.py is gone from files",
        "layer 4 (copy): src/c.py is new in files",
    }


def test_what_was_empty_is_said_so() -> None:
    options = PipOptions(extra_args="--no-deps")
    found = said(image().with_pip("six"), image().with_pip("six", options=options))
    assert found == ["layer 1 (pip): extra_args was empty and is --no-deps"]


def test_another_version_of_a_request_is_one_sentence() -> None:
    before = image().with_pip("httpx==0.27.0", "Flask_Login", "idna", "six>1", "six<2")
    after = image().with_pip("httpx==0.28.1", "flask-login<1", "idna", "six>3", "polars")
    assert said(before, after) == [
        "layer 1 (pip): Flask_Login is flask-login<1 now in packages",
        "layer 1 (pip): httpx==0.27.0 is httpx==0.28.1 now in packages",
        "layer 1 (pip): polars is new in packages",
        "layer 1 (pip): six<2 is gone from packages",
        "layer 1 (pip): six>1 is gone from packages",
        "layer 1 (pip): six>3 is new in packages",
    ]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("1", "2", "what flyte-build.lock pins changed"),
        ("1", "", "was pinned by flyte-build.lock and is as written"),
        ("", "1", "was as written and is pinned by flyte-build.lock"),
    ],
)
@pytest.mark.parametrize("options", ["", "--pre"])
def test_a_lock_is_one_sentence_whatever_it_pins(old: str, new: str, sentence: str, options: str) -> None:
    assert differences(locked(old, options), locked(new, options)) == (f"layer 1 (pip): {sentence}",)


def test_what_else_changed_beside_a_lock_is_said_too() -> None:
    assert differences(locked("1", "--pre"), locked("", "")) == (
        "layer 1 (pip): was pinned by flyte-build.lock and is as written",
        "layer 1 (pip): extra_args was --pre and is empty",
    )


def locked(pins: str, extra: str) -> dict[str, object]:
    """A plan of one request of packages, which a lock with these pins may stand for."""
    layer = planned(image().with_pip("six", "idna", options=PipOptions(extra_args=extra)), Path()).layers[0]
    assert isinstance(layer, PipInstall)
    if pins:
        layer = pinned(layer, (f"six=={pins} --hash=sha256:{'0' * 64}",), FileSet())
    document: dict[str, object] = json.loads(encode(layer))
    return {"kind": "plan", "layers": [document]}


def test_an_order_is_said() -> None:
    assert said(image().with_apt("aa", "bb"), image().with_apt("bb", "aa")) == [
        "layer 1 (apt): the order of packages changed"
    ]


def test_many_changes_are_counted(tmp_path: Path) -> None:
    write(tmp_path, {f"src/{number}": "1" for number in range(90)})
    found = said(image(), image().with_copy("src"), tmp_path) + said(
        image().with_copy("src/1"), image().with_copy("src", contents=True), tmp_path
    )
    assert found[-1].endswith("more")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
)


@given(st.dictionaries(st.sampled_from(("base", "layers", "python", "kind", "x")), JSON))
def test_a_plan_of_any_age_is_equal_to_itself_and_different_from_nothing(document: dict[str, object]) -> None:
    assert differences(document, document) == ()
    differences({}, document)
    differences(document, {})
