"""`flyte-build.lock`: its text, and what is asked of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builder.doubles import KnownBases, image, planned, write

from flyte_build.builder import pinning, resolution
from flyte_build.builder.dockerfile import steps
from flyte_build.builder.lock import Lock, LockedBase, LockedPackages, format_lock, parse_lock
from flyte_build.builder.pinning import Locked, LockedBases, request_digest
from flyte_build.builder.plan import FileTree, PipInstall, PlanFile, plan
from flyte_build.builder.resolve import resolve
from flyte_build.builder.spec import PipOptions
from flyte_build.registry.errors import InvalidInput, InvalidSpec
from flyte_build.registry.names import Digest, ImageName

digests = st.text("0123456789abcdef", min_size=64, max_size=64).map(lambda text: Digest("sha256", text))
texts = st.text(st.characters(codec="utf-8"), min_size=1)
locks = st.builds(
    Lock,
    bases=st.lists(st.builds(LockedBase, name=texts, digest=digests), unique_by=lambda base: base.name).map(
        lambda items: tuple(sorted(items, key=lambda base: base.name))
    ),
    packages=st.lists(
        st.builds(LockedPackages, request=digests, pins=st.lists(texts).map(tuple)),
        unique_by=lambda packages: packages.request,
    ).map(lambda items: tuple(sorted(items, key=lambda packages: str(packages.request)))),
)
PINS = ("six==1.16.0 --hash=sha256:" + "a" * 64,)


@given(locks)
def test_a_lock_is_read_back_as_it_was_written(lock: Lock) -> None:
    assert parse_lock(format_lock(lock), source="lock") == lock


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("version = 2", "reads 1", id="another version"),
        pytest.param("", "reads 1", id="no version"),
        pytest.param("version = 1\nbase = []", "did you mean 'bases'", id="an unknown key"),
        pytest.param('version = 1\n[[bases]]\nname = "x"\ndigest = "sha256:1"', "is not a digest", id="half a digest"),
        pytest.param("version = ", "is not TOML", id="no TOML"),
    ],
)
def test_what_is_no_lock_is_said(text: str, said: str) -> None:
    with pytest.raises(InvalidSpec, match=said):
        parse_lock(text, source="flyte-build.lock")


def test_a_request_is_another_when_anything_in_it_is() -> None:
    asked = PipInstall(packages=("six",))
    spec = image(python="3.12")
    known = request_digest(asked, spec, ())
    others = {
        request_digest(PipInstall(packages=("six", "idna")), spec, ()),
        request_digest(PipInstall(packages=("six",), options=PipOptions(pre=True)), spec, ()),
        request_digest(asked, image(python="3.13"), ()),
        request_digest(asked, spec, PINS),
    }
    assert known not in others
    assert len(others) == 4
    assert request_digest(asked, image(python="3.12", name="other"), ()) == known


def test_a_request_is_another_when_a_file_of_it_is() -> None:
    def of(content: str, *asked: str) -> object:
        files = tuple(PlanFile(path=name, sha256=content * 64, size=1) for name in ("a.txt", "b.txt"))
        layer = PipInstall(requirements=asked, tree=FileTree(files=files))
        return request_digest(layer, image(python="3.12"), ())

    assert len({of("0", "a.txt"), of("1", "a.txt"), of("0", "b.txt")}) == 3


def test_a_layer_is_pinned_as_it_was_after_those_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_BUILD_CACHE", str(tmp_path))
    spec, more = image().with_pip("six").with_pip("idna"), ("idna==3.10 --hash=sha256:" + "1" * 64,)
    first, second = (
        request_digest(PipInstall(packages=(name,)), spec, before) for name, before in (("six", ()), ("idna", PINS))
    )
    lock = Lock().with_pins(first, PINS).with_pins(second, more)
    assert len(resolve(spec, tmp_path, KnownBases(), Locked(lock)).layers) == 2
    alone = request_digest(PipInstall(packages=("idna",)), spec, ())
    with pytest.raises(InvalidInput, match="no versions for this request"):
        resolve(spec, tmp_path, KnownBases(), Locked(Lock().with_pins(first, PINS).with_pins(alone, more)))


def test_the_lock_replaces_what_was_asked_in_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_BUILD_CACHE", str(tmp_path))
    loose, tight = image().with_pip("six"), image().with_pip("six>=1")
    plans = []
    for spec in (loose, tight):
        request = request_digest(PipInstall(packages=spec.layers[0].packages), spec, ())  # type: ignore[union-attr]
        resolved = resolve(spec, tmp_path, KnownBases(), Locked(Lock().with_pins(request, PINS)))
        plans.append(plan(resolved))
    assert plans[0] == plans[1]
    layer = plans[0].layers[0]
    assert isinstance(layer, PipInstall)
    assert layer.packages == ()
    assert "--require-hashes" in layer.options.extra_args
    assert "pip packages of flyte-build.lock" in [step.title for step in steps(plans[0])]


def test_a_lock_without_the_request_or_the_base_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no versions for this request"):
        resolve(image().with_pip("six"), tmp_path, KnownBases(), Locked(Lock()))
    with pytest.raises(InvalidInput, match="no digest for"):
        resolve(image(), tmp_path, LockedBases(Lock(), KnownBases(), strict=True))


@pytest.mark.parametrize(
    ("extra_args", "passed"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("--no-deps --compile-bytecode", ["--no-deps"], id="what chooses and what does not"),
        pytest.param(
            "--exclude-newer=2024-01-01", ["--exclude-newer", "2024-01-01"], id="a value after an equals sign"
        ),
        pytest.param("--no-binary ':all:' -v", ["--no-binary", ":all:"], id="a value of its own"),
    ],
)
def test_a_resolution_chooses_as_the_install_would(extra_args: str, passed: list[str]) -> None:
    assert resolution._choices(PipOptions(extra_args=extra_args)) == passed


def test_what_a_lock_does_not_pin_is_said(tmp_path: Path) -> None:
    write(tmp_path, {"dist/a-1.0-py3-none-any.whl": "", "pyproject.toml": "[project]\nname='a'\nversion='1'\n"})
    notes = pinning.unpinned(planned(image().with_apt("git").with_wheels("dist", "a"), tmp_path).layers)
    assert [note.partition(" ")[0] for note in notes] == ["Debian", "what"]
    assert pinning.unpinned(planned(image().with_pip("six").with_commands("x"), tmp_path).layers) == ()
    with pytest.raises(InvalidInput, match=r"a uv project without uv.lock .* cannot pin it"):
        pinning.unpinned(planned(image().with_uv_project("."), tmp_path).layers)


def test_a_base_has_the_digest_of_the_lock(tmp_path: Path) -> None:
    digest = Digest("sha256", "b" * 64)
    lock = Lock().with_base(ImageName.parse("registry.test/base:1"), digest)
    assert resolve(image(), tmp_path, LockedBases(lock, KnownBases())).base.digest == digest
    assert resolve(image(), tmp_path, LockedBases(Lock(), KnownBases())).base.digest != digest
