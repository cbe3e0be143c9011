"""How long the unmodified SDK waits for an image that exists: `flyte.build` in a fresh process, all its calls included.

    python benchmarks/get_image.py [ROUNDS]

Needs the real parts (see tests/parts). Imports and `flyte.init` are left out, because they are the same for every
service.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BIN = Path(sys.executable).parent
PROGRAM = """
import sys, time
import flyte
image = flyte.Image.from_base("{base}").clone(name="bench", extendable=True).with_commands(["echo {mark}"])
flyte.init(endpoint=sys.argv[1], insecure=True, project="bench", domain="development", image_builder="remote")
began = time.monotonic()
uri = flyte.build(image).uri
print(time.monotonic() - began, uri)
"""


@contextmanager
def service(state: Path, *flags: str) -> Iterator[str]:
    registry = f"{os.environ['FLYTE_BUILD_TEST_REGISTRY']}/bench-get-image"
    argv = [str(BIN / "flyte-build"), "serve", "--port", "0", "--state", str(state), "--registry", registry, *flags]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def ask(folder: Path, url: str) -> tuple[float, str]:
    # A home of its own: the SDK remembers images for a day, and would ask nobody.
    home = tempfile.mkdtemp(dir=folder)
    argv = [sys.executable, str(folder / "program.py"), url]
    done = subprocess.run(
        argv, cwd=folder, env={**os.environ, "HOME": home}, capture_output=True, text=True, check=True
    )
    seconds, uri = done.stdout.splitlines()[-1].split()
    return float(seconds), uri


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    answers: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = PROGRAM.format(base=os.environ["FLYTE_BUILD_TEST_BASE"], mark=time.time_ns())
        (folder / "program.py").write_text(text)
        for way, flags in (("default", ()), ("--trust-sdk-tags", ("--trust-sdk-tags",))):
            with service(folder / "state", *flags) as url:
                built = ask(folder, url)[1]
                for _ in range(rounds):
                    seconds, uri = ask(folder, url)
                    assert uri == built
                    answers.setdefault(way, []).append(seconds)
    print(json.dumps({way: round(statistics.median(found), 3) for way, found in answers.items()}))


if __name__ == "__main__":
    main()
