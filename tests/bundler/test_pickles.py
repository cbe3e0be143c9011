"""Pickles: what is in them travels, what cannot is named, and nothing is unpickled before it was checked."""

from __future__ import annotations

import functools
import gzip
import itertools
import os
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_build.bundler.culprit import find_culprit
from flyte_build.bundler.limits import BundleLimits, ExtractLimits
from flyte_build.bundler.pickles import PickleFacts, read_pickle, this_python, write_pickle
from flyte_build.bundler.pickling import load_pickle, pickle_object
from flyte_build.bundler.upload import Parcel
from flyte_build.registry.errors import ArchiveError, InvalidInput
from flyte_build.registry.names import Digest

from . import trees

_numbers = itertools.count()
FILES = {
    "{m}.py": """
import threading
from {m}_helper import double
lock = threading.Lock()
class Model:
    def __init__(self): self.parts = {{"lock": lock, "n": 1}}
model = Model()
def task(x): return double(x) + 1
def locked(): return lock
def deep(): return model
class Holder:
    fine = task
""",
    "{m}_helper.py": "def double(x): return 2 * x\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A project, and the name of its module, which no other test has imported."""
    name = f"pickled_{os.getpid()}_{next(_numbers)}"
    root = trees.make(tmp_path / "t", {path.format(m=name): text.format(m=name) for path, text in FILES.items()})
    yield root, name
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


def packed(root: Path, name: str, destination: Path) -> Parcel:
    pickled, facts = pickle_object(name, root)
    return write_pickle(pickled, facts, destination)


def test_an_object_runs_where_its_modules_are_not(project: tuple[Path, str], tmp_path: Path) -> None:
    root, name = project
    parcel = packed(root, f"{name}:task", tmp_path / "b.pkl.gz")
    code = (
        "import sys; from pathlib import Path; from flyte_build.bundler.pickling import load_pickle\n"
        "from flyte_build.registry.names import Digest\n"
        "print(load_pickle(Path(sys.argv[1]), Digest.parse(sys.argv[2]))(20))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "b.pkl.gz"), str(parcel.digest)]
    assert subprocess.run(command, cwd="/", check=True, capture_output=True, text=True).stdout == "41\n"


def test_the_file_is_what_the_sdk_reads(project: tuple[Path, str], tmp_path: Path) -> None:
    root, name = project
    packed(root, f"{name}:task", tmp_path / "b.pkl.gz")
    with gzip.open(tmp_path / "b.pkl.gz", "rb") as file:
        assert cloudpickle.load(file)(1) == 3


def test_it_says_of_itself_what_it_is(project: tuple[Path, str], tmp_path: Path) -> None:
    root, name = project
    pickled, facts = pickle_object(f"{name}:Holder.fine", root)
    assert facts == PickleFacts(
        object=f"{name}:Holder.fine",
        python=this_python(),
        cloudpickle=cloudpickle.__version__,
        size=len(pickled),
        sha256=facts.sha256,
    )
    assert PickleFacts.parse(facts.encode()) == facts
    parcel = write_pickle(pickled, facts, tmp_path / "b.pkl.gz")
    assert (parcel.kind, parcel.digest, parcel.filename) == ("pkl", facts.digest, "bundle.pkl.gz")
    assert read_pickle(tmp_path / "b.pkl.gz", facts.digest) == pickled


def test_the_project_stays_out_of_the_path_afterwards(project: tuple[Path, str]) -> None:
    root, name = project
    before = list(sys.path)
    pickle_object(f"{name}:task", root)
    assert sys.path == before
    assert not cloudpickle.list_registry_pickle_by_value()


@pytest.mark.parametrize(
    ("object_", "says"),
    [
        pytest.param("locked", "locked<global lock> is a _thread.lock", id="a lock that it uses"),
        pytest.param("deep", "deep<global model>.parts['lock'] is a _thread.lock", id="a lock deep in what it uses"),
        pytest.param("model", "model.parts['lock'] is a _thread.lock", id="a lock in an object"),
    ],
)
def test_what_cannot_be_pickled_is_named_by_its_way(project: tuple[Path, str], object_: str, says: str) -> None:
    root, name = project
    with pytest.raises(InvalidInput) as caught:
        pickle_object(f"{name}:{object_}", root)
    assert f"{name}:{object_} cannot be pickled: {says}:" in caught.value.sentence
    assert "\n" not in caught.value.sentence


class _Slotted:
    __slots__ = ("inner",)

    def __init__(self) -> None:
        self.inner = LOCK

    def method(self) -> None: ...


LOCK = threading.Lock()


def _captured() -> Callable[[], object]:
    lock = LOCK

    def inner(*, word: object = 1) -> object:
        return lock

    return inner


def _with_default(word: object = LOCK) -> object:
    return word


def _pickles(value: object) -> bool:
    try:
        cloudpickle.dumps(value)
    except Exception:  # noqa: BLE001 - as in the code
        return False
    return True


@pytest.mark.parametrize(
    ("value", "way"),
    [
        pytest.param({"a": [1, (LOCK,)]}, "['a'][1][0]", id="in lists"),
        pytest.param(functools.partial(print, 1, sep=LOCK), ".keywords['sep']", id="in a partial"),
        pytest.param(_captured(), "<captured lock>", id="in a closure"),
        pytest.param(_Slotted(), ".inner", id="in a slot"),
        pytest.param(_Slotted().method, ".__self__.inner", id="in a method's object"),
        pytest.param(LOCK, "", id="nowhere else"),
    ],
)
def test_the_culprit_is_found(value: object, way: str) -> None:
    found, part = find_culprit(value, _pickles)
    assert (found, part) == (way, LOCK)


def test_a_circle_and_a_default_are_no_trap() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert find_culprit([loop, LOCK], _pickles)[0] == "[1]"
    copied = types.FunctionType(_with_default.__code__, {}, argdefs=(LOCK,))
    assert find_culprit(copied, _pickles)[0] == "<default 0>"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param("x", "'x' names no object", id="no object"),
        pytest.param(":x", "names no object", id="no module"),
        pytest.param(
            "no_such_module_here:x", "no_such_module_here cannot be imported: ModuleNotFoundError", id="missing"
        ),
        pytest.param("{m}:nothing", "has no 'nothing'", id="an attribute that is not there"),
        pytest.param("{m}:task.x.y", "has no 'x' on the way to 'task.x.y'", id="an attribute on the way"),
    ],
)
def test_a_name_that_means_nothing_is_refused(project: tuple[Path, str], name: str, says: str) -> None:
    root, module = project
    with pytest.raises(InvalidInput, match=says):
        pickle_object(name.format(m=module), root)


FACTS = PickleFacts(object="m:o", python=this_python(), cloudpickle="3.1.2", size=0, sha256="0" * 64)


def facts_of(pickled: bytes, **changes: object) -> PickleFacts:
    import hashlib

    return replace(FACTS, size=len(pickled), sha256=hashlib.sha256(pickled).hexdigest(), **changes)  # type: ignore[arg-type]


class Mine:
    """Says that it was unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (setattr, (sys, "flyte_build_unpickled", True))


MINE = cloudpickle.dumps(Mine())


@pytest.fixture
def untouched() -> Iterator[None]:
    """Nothing of the test may be unpickled."""
    yield
    assert not vars(sys).pop("flyte_build_unpickled", False)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("changes", "expected", "says"),
    [
        pytest.param({"python": "3.1"}, None, "was pickled by Python 3.1, and this is", id="another Python"),
        pytest.param({}, "a" * 64, "was expected", id="another digest"),
        pytest.param(
            {"sha256": "b" * 64}, None, "its pickle is not the one that its header names", id="another content"
        ),
        pytest.param({"size": 1}, None, "data after its end|not the one", id="a size that is too small"),
        pytest.param({"size": 10**9}, None, "not the one", id="a size that is too large"),
    ],
)
def test_nothing_is_unpickled_when_there_is(
    tmp_path: Path, changes: dict[str, object], expected: str | None, says: str
) -> None:
    facts = replace(facts_of(MINE), **changes)  # type: ignore[arg-type]
    write_pickle(MINE, facts, tmp_path / "b.pkl.gz")
    digest = Digest("sha256", expected) if expected else facts.digest
    with pytest.raises(ArchiveError, match=says):
        load_pickle(tmp_path / "b.pkl.gz", digest)


def test_a_right_one_is_unpickled(tmp_path: Path) -> None:
    facts = facts_of(MINE)
    write_pickle(MINE, facts, tmp_path / "b.pkl.gz")
    load_pickle(tmp_path / "b.pkl.gz", facts.digest)
    assert vars(sys).pop("flyte_build_unpickled")


@pytest.mark.usefixtures("untouched")
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=8), st.booleans())
def test_no_damage_is_unpickled(tmp_path_factory: pytest.TempPathFactory, at: int, noise: bytes, cut: bool) -> None:
    path = tmp_path_factory.mktemp("p") / "b.pkl.gz"
    facts = facts_of(MINE)
    write_pickle(MINE, facts, path)
    data = path.read_bytes()
    at %= len(data)
    damaged = data[:at] if cut else data[:at] + noise + data[at + len(noise) :]
    path.write_bytes(damaged)
    try:
        read = read_pickle(path, facts.digest)
    except ArchiveError:
        return
    # Damage that says nothing else in deflate is no damage.
    assert read == MINE


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b\x08\x00" + b"\0" * 20, gzip.compress(MINE), b"PK" * 100])
def test_what_is_no_pickle_bundle_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ArchiveError, match="header does not say"):
        load_pickle(tmp_path / "x", FACTS.digest)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"pickle/1", b"pickle/2", id="another kind"),
        pytest.param(b'"object":"m:o"', b'"object":77777', id="a number for a text"),
        pytest.param(b'"size":0', b'"size":false', id="a truth for a number"),
        pytest.param(b'"size":0', b'"size": 0', id="a blank"),
        pytest.param(b'"size":0', b'"size":0,"x":1', id="a key more"),
    ],
)
def test_a_header_is_exactly_what_is_written(old: bytes, new: bytes) -> None:
    data = FACTS.encode()
    assert PickleFacts.parse(data) == FACTS
    assert old in data
    with pytest.raises(ArchiveError, match="header does not say"):
        PickleFacts.parse(data.replace(old, new))


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(lambda data: data + b"x", "data after its end", id="more after it"),
        pytest.param(lambda data: data[:-4], "its gzip has no end", id="no end"),
        pytest.param(lambda data: data[:-8] + bytes(8), "is damaged", id="another checksum"),
    ],
)
def test_a_gzip_that_does_not_end_well_is_refused(tmp_path: Path, change: Callable[[bytes], bytes], says: str) -> None:
    facts = facts_of(MINE)
    write_pickle(MINE, facts, tmp_path / "x")
    (tmp_path / "x").write_bytes(change((tmp_path / "x").read_bytes()))
    with pytest.raises(ArchiveError, match=says):
        load_pickle(tmp_path / "x", facts.digest)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    pickled = b"\0" * (8 << 20)
    facts = facts_of(pickled)
    write_pickle(pickled, facts, tmp_path / "x")
    with pytest.raises(ArchiveError, match="unpacks to more than"):
        read_pickle(tmp_path / "x", facts.digest, ExtractLimits(unpacked_bytes=1 << 20))


def test_one_that_is_too_large_is_refused_before_it_is_written(tmp_path: Path) -> None:
    pickled = os.urandom(4096)
    with pytest.raises(InvalidInput, match=r"m:o pickles to 0\.0 MiB, more than the 0 MiB"):
        write_pickle(pickled, facts_of(pickled), tmp_path / "x", BundleLimits(archive_bytes=1000))
    assert list(tmp_path.iterdir()) == []


def test_what_needs_a_package_that_is_not_here_is_one_sentence(tmp_path: Path) -> None:
    module = types.ModuleType("not_here_at_all")
    sys.modules["not_here_at_all"] = module
    exec("class X: pass\nX.__module__ = 'not_here_at_all'", module.__dict__)
    pickled = cloudpickle.dumps(module.X)
    del sys.modules["not_here_at_all"]
    facts = facts_of(pickled)
    write_pickle(pickled, facts, tmp_path / "x")
    with pytest.raises(ArchiveError, match="ModuleNotFoundError: No module named 'not_here_at_all'"):
        load_pickle(tmp_path / "x", facts.digest)
