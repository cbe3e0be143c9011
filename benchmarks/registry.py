"""Check, resolve, push, fetch and mount against `crane`, side by side in one run, on a real registry.

    python benchmarks/registry.py [ROUNDS]

Both sides are fresh processes, started one after the other in each round; what is printed are medians and the ratio
ours / theirs. Below 1 we are faster. Needs `docker-registry` and `crane`.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.registry.images import noise, package_of  # noqa: E402 - from the repository, which is not installed
from tests.registry.servers import docker_registry  # noqa: E402

from flyte_build.registry.client import RegistryClient  # noqa: E402
from flyte_build.registry.names import ImageName, Target  # noqa: E402
from flyte_build.registry.transfer import push_package  # noqa: E402

LAYERS = (40_000_000, 20_000_000, 5_000_000, 1_000_000, 100_000)
_NAME = "from flyte_build.registry.names import ImageName, Repository, Target\n"
_CLIENT = "import sys\nfrom flyte_build.registry.client import RegistryClient\n" + _NAME
CHECK = _CLIENT + "print(RegistryClient().find(ImageName.parse(sys.argv[1])).reference.digest)"
RESOLVE = _CLIENT + (
    "from flyte_build.registry.descriptors import Platform\n"
    "print(RegistryClient().image_config(ImageName.parse(sys.argv[1]), Platform.parse('linux/amd64')).env)"
)
PUSH = _CLIENT + (
    "from pathlib import Path\n"
    "from flyte_build.registry.layout import read_layout\n"
    "from flyte_build.registry.transfer import push_package\n"
    "name = ImageName.parse(sys.argv[2])\n"
    "push_package(RegistryClient(), read_layout(Path(sys.argv[1])), Target(name.repository, (name.tag,)))"
)
MOUNT = _CLIENT + (
    "from flyte_build.registry.blob import Blob\n"
    "from flyte_build.registry.transfer import Package, push_package\n"
    "client, name, target = RegistryClient(), ImageName.parse(sys.argv[1]), ImageName.parse(sys.argv[2])\n"
    "manifest = client.manifest(name)\n"
    "def never(start):\n"
    "    raise AssertionError('it was not mounted')\n"
    "blobs = [Blob(descriptor=one, open=never) for one in (*manifest.layers, manifest.config)]\n"
    "mounts = {blob.descriptor.digest: name.repository for blob in blobs}\n"
    "package = Package(blobs=blobs, manifests=[(manifest.descriptor, manifest.body)], mounts=mounts)\n"
    "push_package(client, package, Target(target.repository, (target.tag,)))"
)


def timed(command: list[str]) -> float:
    """Seconds of one process; one that fails ends the benchmark."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return time.perf_counter() - start


def ours(script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", script, *arguments]


def main() -> None:
    """Prints one line for each job, then one JSON document."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    if not shutil.which("crane"):
        raise SystemExit("crane is not on this machine: tests/parts/parts install")
    with tempfile.TemporaryDirectory() as folder, docker_registry(Path(folder)) as registry:
        source = f"{registry}/bench/source:v1"
        target = Target(ImageName.parse(source).repository, ("v1",))
        push_package(RegistryClient(environ={}), package_of(*map(noise, LAYERS), Env=["A=1"]), target)
        layout = str(Path(folder, "layout"))
        subprocess.run(
            ["crane", "pull", "--format", "oci", source, layout], check=True, capture_output=True, timeout=300
        )

        def place(job: str, side: str, turn: int) -> str:
            return f"{registry}/bench/{job}-{side}-{turn}:v1"

        # A repository that has a blob is not sent it again: each turn goes to repositories of its own.
        jobs: dict[str, tuple[Callable[[int], list[str]], Callable[[int], list[str]]]] = {
            "check": (lambda _: ours(CHECK, source), lambda _: ["crane", "digest", source]),
            "resolve": (lambda _: ours(RESOLVE, source), lambda _: ["crane", "config", source]),
            "push again": (lambda _: ours(PUSH, layout, source), lambda _: ["crane", "push", layout, source]),
            "push 66 MB": (
                lambda turn: ours(PUSH, layout, place("push", "ours", turn)),
                lambda turn: ["crane", "push", layout, place("push", "theirs", turn)],
            ),
            "mount 66 MB": (
                lambda turn: ours(MOUNT, source, place("mount", "ours", turn)),
                lambda turn: ["crane", "copy", source, place("mount", "theirs", turn)],
            ),
        }
        report(jobs, rounds)


def report(jobs: dict[str, tuple[Callable[[int], list[str]], Callable[[int], list[str]]]], rounds: int) -> None:
    """Runs both sides in turns, so that whatever else the machine does meets both."""
    found = {}
    for job, sides in jobs.items():
        times: tuple[list[float], list[float]] = ([], [])
        for turn in range(rounds):
            order = (0, 1) if turn % 2 else (1, 0)
            for side in order:
                times[side].append(timed(sides[side](turn)))
        mine, peer = (statistics.median(one) for one in times)
        found[job] = {"ours": round(mine, 3), "crane": round(peer, 3), "ratio": round(mine / peer, 2)}
        print(f"{job:<12} ours {mine:.3f} s   crane {peer:.3f} s   ratio {mine / peer:.2f}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
