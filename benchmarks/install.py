"""The client as `pip install flyte-build` leaves it: megabytes, packages, and how long its commands take to start.

    python benchmarks/install.py [ROUNDS]

Installs the project without extras into an environment of its own (uv, beside this interpreter), then starts each
command ROUNDS times as a fresh process; medians. Processor time is what the machine's load changes least.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
MEBIBYTE = 1024 * 1024


def install(place: Path) -> Path:
    """The environment's site-packages."""
    uv = str(BIN / "uv")
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, place], check=True)
    constraints = ["-c", str(ROOT / "constraints.txt")]
    subprocess.run([uv, "pip", "install", "-q", "--python", place / "bin/python", str(ROOT), *constraints], check=True)
    return next(place.glob("lib/python*/site-packages"))


def timed(argv: list[str], rounds: int) -> tuple[float, float]:
    """Medians of wall and processor time, in seconds."""
    wall, cpu = [], []
    for _ in range(rounds + 1):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(argv, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall.append(time.perf_counter() - started)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(wall[1:]), statistics.median(cpu[1:])  # the first writes bytecode


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    with tempfile.TemporaryDirectory(prefix="flyte-build-install-") as folder:
        packages = install(Path(folder, "venv"))
        size = sum(file.stat().st_size for file in packages.rglob("*") if file.is_file() and file.suffix != ".pyc")
        print(f"installed: {size / MEBIBYTE:.0f} MiB in {len(list(packages.glob('*.dist-info')))} packages")
        flyte_build, python = f"{folder}/venv/bin/flyte-build", f"{folder}/venv/bin/python"
        jobs = {
            "python -c pass": [python, "-c", "pass"],
            "import of the client": [python, "-c", "import flyte_build.worker.cli.image"],
            "flyte-build --help": [flyte_build, "--help"],
            "flyte-build image --help": [flyte_build, "image", "--help"],
        }
        for name, argv in jobs.items():
            wall, cpu = timed(argv, rounds)
            print(f"{name:<26} {wall:.2f} s, {cpu:.2f} s of processor time")


if __name__ == "__main__":
    main()
