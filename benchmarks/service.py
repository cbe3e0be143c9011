"""What the build service costs over a bare `docker buildx build` of the same plan: an endpoint and a worker beside it.

    python benchmarks/service.py [ROUNDS]

Each round builds one new layer twice: by Buildx alone, with the argv that the service uses, and by asking the endpoint
as the SDK does, from the upload of the spec to the answer. Needs the parts of `make parts`, and PostgreSQL and Redis.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
import uuid
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.worker.deployment import deployed
from tests.worker.sdk import ask_for_build, wait_for_end
from tests.worker.services import postgres, redis
from tests.worker.test_real_split import spec

from flyte_build.builder.buildx.engine import BuildxEngine
from flyte_build.builder.engine import BuildOptions
from flyte_build.builder.machine import find_machine
from flyte_build.builder.sources import wire
from flyte_build.builder.spec import DEFAULT_PLATFORMS
from flyte_build.registry.client import RegistryClient
from flyte_build.worker.drivers import image as driver

BASE, REGISTRY = os.environ["FLYTE_BUILD_TEST_BASE"], os.environ["FLYTE_BUILD_TEST_REGISTRY"]


def bare(content: bytes, folder: Path, where: str) -> float:
    """Seconds of Buildx for this plan: nothing is asked of the registry first, nothing attached afterwards."""
    parsed = wire.parse(content, name="bare", context=folder, platforms=DEFAULT_PLATFORMS)
    planned = driver.prepare(replace(parsed, registry=where), folder, RegistryClient())
    options = BuildOptions(machine=find_machine(), timeout=300)
    began = time.monotonic()
    BuildxEngine().build(planned.plan, planned.resolved.context, planned.target, options)
    return time.monotonic() - began


def served(url: str, content: bytes) -> float:
    """Seconds from the first request to the answer."""
    began = time.monotonic()
    end = wait_for_end(url, ask_for_build(url, content, f"served-{uuid.uuid4().hex[:6]}:1"))
    assert end.status.phase == 5, end
    return time.monotonic() - began


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    where = f"{REGISTRY}/benchmark-{uuid.uuid4().hex[:6]}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        servers = postgres(folder / "postgres").start(), redis(folder / "redis").start()
        with deployed(folder / "d", where, *servers) as deployment:
            deployment.endpoint()
            deployment.worker()
            served(deployment.url, spec(BASE, "true"))
            rows = []
            for number in range(rounds):
                mark = uuid.uuid4().hex
                pair = [spec(BASE, f"echo {mark} {number} {who} > /mark") for who in ("bare", "served")]
                (folder / "context").mkdir(exist_ok=True)
                rows.append((bare(pair[0], folder / "context", where), served(deployment.url, pair[1])))
                again = served(deployment.url, pair[1])
                print(f"bare {rows[-1][0]:.2f} s, served {rows[-1][1]:.2f} s, other target {again:.2f} s", flush=True)
        for server in servers:
            server.stop()
    mine, peer = statistics.median(row[1] for row in rows), statistics.median(row[0] for row in rows)
    over = statistics.median(row[1] - row[0] for row in rows)
    print(f"\nmedians of {rounds}: bare {peer:.2f} s, through the service {mine:.2f} s, over it {over * 1000:.0f} ms")


if __name__ == "__main__":
    main()
