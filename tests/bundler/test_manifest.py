from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_build.bundler.manifest import Entry, Manifest
from flyte_build.registry.errors import InvalidInput, InvalidTree

ONE = "a" * 64
TWO = "b" * 64

_part = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=6).filter(
    lambda part: part not in (".", "..")
)
_file = st.builds(
    lambda parts, mode, size, sha: Entry(path="/".join(parts), mode=mode, size=size, sha256=sha),
    st.lists(_part, min_size=1, max_size=3),
    st.sampled_from(["0644", "0755"]),
    st.integers(0, 1 << 40),
    st.sampled_from([ONE, TWO]),
)
_link = st.builds(
    lambda parts, target: Entry(path="/".join(parts), mode="link", link=target),
    st.lists(_part, min_size=1, max_size=3),
    _part,
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    entries = draw(st.lists(st.one_of(_file, _link), max_size=6, unique_by=lambda entry: entry.path))
    paths = [entry.path for entry in entries]
    return Manifest.of(e for e in entries if not any(path.startswith(f"{e.path}/") for path in paths))


@given(manifests())
def test_parse_is_the_inverse_of_encode(manifest: Manifest) -> None:
    assert Manifest.parse(manifest.encode()) == manifest


@given(manifests(), manifests())
def test_two_manifests_have_one_digest_only_if_they_are_equal(one: Manifest, other: Manifest) -> None:
    assert (one.digest == other.digest) == (one == other)


FILE = Entry(path="a/b.py", mode="0644", size=3, sha256=ONE)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(FILE, path="a/c.py"), id="another path"),
        pytest.param(replace(FILE, path="ab.py"), id="the slash at another place"),
        pytest.param(replace(FILE, mode="0755"), id="executable"),
        pytest.param(replace(FILE, size=4), id="another size"),
        pytest.param(replace(FILE, sha256=TWO), id="another content"),
        pytest.param(Entry(path="a/b.py", mode="link", link="c"), id="a link instead of a file"),
    ],
)
def test_every_part_of_an_entry_changes_the_digest(other: Entry) -> None:
    assert Manifest.of([FILE]).digest != Manifest.of([other]).digest


def test_the_digest_never_changes_between_versions() -> None:
    manifest = Manifest.of([FILE, Entry(path="a/é", mode="link", link="../b")])
    assert (
        manifest.encode()
        == (
            '{"entries":[{"link":"","mode":"0644","path":"a/b.py","sha256":"' + ONE + '","size":3},'
            '{"link":"../b","mode":"link","path":"a/é","sha256":"","size":0}],"kind":"flyte-build/manifest/1"}'
        ).encode()
    )


@pytest.mark.parametrize(
    ("path", "why"),
    [
        pytest.param("/etc/passwd", "plain relative", id="absolute"),
        pytest.param("a/../b", "plain relative", id="with dots that go up"),
        pytest.param("./a", "plain relative", id="with a dot"),
        pytest.param("a//b", "plain relative", id="with an empty part"),
        pytest.param("", "plain relative", id="empty"),
        pytest.param("a\0b", "zero byte", id="with a zero byte"),
        pytest.param("a\udc80", "not UTF-8", id="not UTF-8"),
    ],
)
def test_a_path_is_refused_that_is(path: str, why: str) -> None:
    with pytest.raises(InvalidTree, match=why):
        Entry(path=path, mode="0644", sha256=ONE)


@pytest.mark.parametrize(
    ("path", "link"),
    [
        pytest.param("a", "/etc/passwd", id="absolute"),
        pytest.param("a", "..", id="the folder above"),
        pytest.param("a/b", "../../c", id="outside"),
        pytest.param("a/b", "../x/../../c", id="outside by a detour"),
        pytest.param("a", "", id="nothing"),
        pytest.param("a", "b\udc80", id="not UTF-8"),
    ],
)
def test_a_link_is_refused_to_what_is(path: str, link: str) -> None:
    with pytest.raises(InvalidTree, match="links to"):
        Entry(path=path, mode="link", link=link)


def test_a_path_is_a_file_or_a_folder_but_not_both() -> None:
    with pytest.raises(InvalidTree, match="both a file and a folder"):
        Manifest.of([replace(FILE, path="a"), FILE])


def test_a_path_is_there_once() -> None:
    with pytest.raises(InvalidTree, match="twice"):
        Manifest.of([FILE, FILE])


def _document(**changes: object) -> bytes:
    document = json.loads(Manifest.of([FILE]).encode())
    return json.dumps({**document, **changes}, sort_keys=True, separators=(",", ":")).encode()


def _entry(**changes: object) -> dict[str, object]:
    return {"path": "a", "mode": "0644", "size": 1, "sha256": ONE, "link": "", **changes}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[" * 100_000, id="deeply nested"),
        pytest.param(b"\xff", id="not text"),
        pytest.param(_document(kind="other"), id="another kind"),
        pytest.param(_document(more=1), id="with an unknown field"),
        pytest.param(_document(entries=1), id="without a list"),
        pytest.param(_document(entries=[_entry(more=1)]), id="with an unknown field in an entry"),
        pytest.param(_document(entries=[_entry(size="1")]), id="with a size that is text"),
        pytest.param(_document(entries=[_entry(size=True)]), id="with a size that is true"),
        pytest.param(_document(entries=[_entry(size=-1)]), id="with a negative size"),
        pytest.param(_document(entries=[_entry(mode="0777")]), id="with another mode"),
        pytest.param(_document(entries=[_entry(sha256=ONE.upper())]), id="with upper-case hex"),
        pytest.param(_document(entries=[_entry(path="b"), _entry()]), id="unsorted"),
        pytest.param(Manifest.of([FILE]).encode() + b"\n", id="with a newline after it"),
    ],
)
def test_a_manifest_is_refused_that_is(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        Manifest.parse(data)
