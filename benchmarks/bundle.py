"""`flyte-build bundle` and the SDK's bundler, in turns, through the same endpoint: cold, unchanged, after one edit.

    python benchmarks/bundle.py [ROUNDS] [FILES] [MEGABYTES]

Printed are medians of a fresh process that uploads what it has to; of the bundling alone, without Python's start,
imports and uploads; of the CPU seconds of the whole process, which a busy machine disturbs least; and the largest
peak memory.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
JOBS = ("cold", "unchanged", "one-line edit")
# What rests less than this is read again, and that is not what an edit costs.
REST = 2.5

# A whole process each, that uploads what it has to.
OURS = """
import sys
from flyte_build.worker.cli.main import run
sys.exit(run(["bundle", sys.argv[1], "--endpoint", sys.argv[2], "--project", sys.argv[3], "--domain", "development"]))
"""
SDKS = """
import asyncio, sys
from pathlib import Path
import flyte
from flyte._code_bundle.bundle import build_code_bundle
flyte.init(endpoint=sys.argv[2], insecure=True, project=sys.argv[3], domain="development", org="o")
asyncio.run(build_code_bundle(Path(sys.argv[1]), copy_style="all"))
"""
# From files to an archive (or to knowing that none is needed), without starting Python, importing and uploading.
OURS_ALONE = """
import sys, time
from pathlib import Path
from flyte_build.bundler.archive import archive
from flyte_build.bundler.memory import Memory
from flyte_build.bundler.tree import SourceTree, list_tree
root, memory = Path(sys.argv[1]), Memory(folder=Path.home() / "memory")
began = time.perf_counter()
listing = list_tree(SourceTree(root=root), memory)
if sys.argv[2] != "unchanged":
    archive(listing.manifest, root, Path.home() / "b.tar.gz")
print(time.perf_counter() - began, file=sys.stderr)
"""
SDKS_ALONE = """
import asyncio, sys, time
from pathlib import Path
import flyte
from flyte._code_bundle._ignore import FlyteIgnore, GitIgnore, StandardIgnore
from flyte._code_bundle._packaging import list_files_to_bundle
from flyte._code_bundle.bundle import build_code_bundle
root = Path(sys.argv[1])
began = time.perf_counter()
if sys.argv[2] == "unchanged":
    list_files_to_bundle(root, True, StandardIgnore, GitIgnore, FlyteIgnore, copy_style="all")
else:
    asyncio.run(build_code_bundle(root, dryrun=True, copy_bundle_to=Path.home(), copy_style="all"))
print(time.perf_counter() - began, file=sys.stderr)
"""


@dataclass(frozen=True)
class Took:
    """Seconds of the process, what it said last on stderr, its peak memory in MiB, seconds of CPU with its copies."""

    whole: float
    said: str
    memory: float
    cpu: float


def make_tree(root: Path, files: int, size: int) -> None:
    """Text like source, and one file in twenty that does not compress; `size` bytes in all, the same every time."""
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz_", k=rng.randint(2, 12))) for _ in range(3000)]
    for number in range(files):
        path = root / f"pkg{number % 40:02}" / f"mod{number // 40 % 7}" / f"file{number:06}"
        path.parent.mkdir(parents=True, exist_ok=True)
        length = max(50, int(rng.expovariate(files / size)))
        if number % 20 == 0:
            path.with_suffix(".bin").write_bytes(rng.randbytes(length))
            continue
        lines, count = list[str](), 0
        while count < length:
            lines.append("    " * rng.randint(0, 3) + " ".join(rng.choices(words, k=rng.randint(3, 10))))
            count += len(lines[-1]) + 1
        path.with_suffix(".py").write_text("\n".join(lines)[:length])


@contextmanager
def serving(state: Path) -> Iterator[str]:
    """An endpoint of ours; its URL."""
    argv = [BIN / "flyte-build", "serve", "--port", "0", "--state", state, "--registry", "127.0.0.1:1/none"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not (state / "endpoint.json").exists():
            assert process.poll() is None, "the endpoint did not start"
            time.sleep(0.05)
        yield json.loads((state / "endpoint.json").read_text())["url"]
    finally:
        process.terminate()
        process.wait(30)


def measure(program: str, *arguments: object, home: Path) -> Took:
    """Run a program with a home of its own."""
    environ = os.environ | {"HOME": str(home), "FLYTE_BUILD_CACHE": str(home / "cache"), "XDG_CACHE_HOME": str(home)}
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    whole = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    assert process.returncode == 0, said
    return Took(whole, said.split()[-1], usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


def main() -> None:
    """Measure and print one table."""
    given, usual = sys.argv[1:], ["5", "2000", "40"]
    rounds, files, megabytes = map(int, (given + usual[len(given) :])[:3])
    took: dict[tuple[str, str], list[tuple[float, float, float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="flyte-build-bench-") as place:
        root = Path(place, "tree")
        make_tree(root, files, megabytes * 10**6)
        edited = sorted(root.rglob("*.py"))[files // 3]
        with serving(Path(place, "state")) as url:
            for number in range(rounds):
                for who, program, alone in (("ours", OURS, OURS_ALONE), ("SDK", SDKS, SDKS_ALONE)):
                    home = Path(place, f"home-{who}-{number}")
                    home.mkdir()
                    time.sleep(REST)
                    for job in JOBS:
                        if job == "one-line edit":
                            edited.write_text(edited.read_text() + f"\n# {who} {number}")
                        whole = measure(program, root, url, f"{who}{number}", home=home)
                        inside = measure(alone, root, job, home=home)
                        one = (whole.whole, float(inside.said), whole.cpu, whole.memory)
                        took.setdefault((who, job), []).append(one)
                    shutil.rmtree(home)
    print(f"{files} files, {megabytes} MB, medians of {rounds}:\n")
    sides = "ours | SDK | ratio"
    print(f"| job | {sides} | bundling alone: {sides} | CPU: {sides} | peak memory: ours | SDK |")
    print("|---" * 12 + "|")
    for job in JOBS:
        ours, sdk = took["ours", job], took["SDK", job]
        cells = [job]
        for field in (0, 1, 2):
            mine, theirs = (statistics.median(one[field] for one in side) for side in (ours, sdk))
            cells += [f"{mine:.3f} s", f"{theirs:.2f} s", f"{theirs / mine:.1f}"]
        cells += [f"{max(one[3] for one in side):.0f} MiB" for side in (ours, sdk)]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
