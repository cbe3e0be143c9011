"""Copies of the process: the same answers with them as without, whatever becomes of one."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from . import trees

# In a process of its own, because this one has threads: everything is worth a copy, and `hands` are how many.
TWO_WAYS = """
import json, sys
from pathlib import Path
from flyte_build.bundler import archive, copies, hashing, walk
from flyte_build.bundler.memory import signature
from flyte_build.bundler.tree import SourceTree, list_tree
from flyte_build.registry.errors import InvalidTree

walk._MANY, hashing._FEW, hashing._BATCH, archive._FEW = 3, 3, 5, 0
root, answers = Path(sys.argv[1]), []
for hands in (1, 2, 7):
    walk.copies = hashing.copies = archive.copies = lambda: hands
    try:
        listing = list_tree(SourceTree(root=root))
        made = archive.archive(listing.manifest, root, Path(sys.argv[2])).parcel
        sign = signature([walk.walk(walk.Folder(root=root))])
        answers.append([str(made.digest), str(made.archive_digest), listing.files, listing.size, sign])
    except InvalidTree as error:
        answers.append(str(error))
print(json.dumps(answers))
"""
OF_ONE = """
import os, sys, threading
from flyte_build.bundler.copies import copies, spread

here, again = os.getpid(), []
def work(number):
    if os.getpid() == here:
        again.append(number)
    elif number == 4:
        os.kill(os.getpid(), 9)
    elif number == 8:
        raise ValueError("in a copy only")
    return b"%d" % number * 100_000

assert list(spread(work, 12, 3)) == [b"%d" % number * 100_000 for number in range(12)]
assert again == [4, 7, 8, 10, 11], again
first = spread(work, 1000, 2)
next(first)
first.close()
try:
    os.waitpid(-1, 0)
    raise AssertionError("a copy was left behind")
except ChildProcessError:
    pass
assert len(os.listdir("/proc/self/fd")) <= int(sys.argv[1]), "a pipe was left open"
os.cpu_count = lambda: 3
assert copies() == 3
threading.Thread(target=threading.Event().wait, daemon=True).start()
assert copies() == 1
"""


def alone(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def wide_tree(root: Path) -> Path:
    chance = random.Random(1)
    files: dict[str, str | bytes] = {f"d{n % 5}/é{n % 3}/f{n}": chance.randbytes(n * 3000) for n in range(60)}
    files |= {"large": bytes(5 << 20), "d1/exe": "x", "d2/link": "->é0", "d3/.gitignore": "f3?\n", "d4/x.pyc": ""}
    trees.make(root, files)
    (root / "d1/exe").chmod(0o755)
    return root


def test_a_bundle_is_the_same_with_copies_and_without(tmp_path: Path) -> None:
    one, *others = json.loads(alone(TWO_WAYS, wide_tree(tmp_path / "t"), tmp_path / "b.tar.gz"))
    assert one[2] > 50
    assert others == [one, one]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        pytest.param({"d4/é1/bad": "->../../../x"}, "d4/é1/bad links to", id="a link that leads out"),
        pytest.param({"d4/.env": ""}, "d4/.env (an environment file)", id="a secret by its name"),
        pytest.param({"d4/z": "-----BEGIN PRIVATE KEY-----\n"}, "d4/z (a private key)", id="a secret by its content"),
    ],
)
def test_an_error_is_the_same_with_copies_and_without(tmp_path: Path, more: dict[str, str], says: str) -> None:
    root = trees.make(wide_tree(tmp_path / "t"), more)
    one, *others = json.loads(alone(TWO_WAYS, root, tmp_path / "b.tar.gz"))
    assert says in one
    assert others == [one, one]


def test_what_a_copy_cannot_do_is_done_here_and_none_stays() -> None:
    alone(OF_ONE, 4)
