"""What the build service costs over a bare `docker buildx build` of the same plan: an endpoint and a worker beside it.

    python benchmarks/service.py [ROUNDS]

Each round builds one new layer twice: by Buildx alone, with the argv that the service uses, and by asking the endpoint
as the SDK does, over connections that stay open, from the upload of the spec to the answer; in turns, either first.
Then the served one is asked for again. Needs the parts of `make parts`, and PostgreSQL and Redis.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import statistics
import sys
import tempfile
import time
import uuid
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parent.parent))

from flyteidl2.dataproxy.dataproxy_service_connect import DataProxyServiceClientSync
from flyteidl2.dataproxy.dataproxy_service_pb2 import CreateUploadLocationRequest, UploadInputsRequest
from flyteidl2.workflow.run_service_connect import RunServiceClientSync
from flyteidl2.workflow.run_service_pb2 import CreateRunRequest, WatchActionDetailsRequest
from tests.worker.deployment import deployed
from tests.worker.sdk import PROJECT, texts
from tests.worker.services import postgres, redis
from tests.worker.test_real_split import spec

from flyte_build.builder.buildx.engine import BuildxEngine
from flyte_build.builder.engine import BuildOptions
from flyte_build.builder.machine import find_machine
from flyte_build.builder.sources import wire
from flyte_build.builder.spec import DEFAULT_PLATFORMS
from flyte_build.registry.client import RegistryClient
from flyte_build.worker.builds.task import build_task_spec
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


class Sdk:
    """A client that keeps its connections, as the SDK does."""

    def __init__(self, url: str) -> None:
        self._uploads, self._runs = DataProxyServiceClientSync(url), RunServiceClientSync(url)

    def build(self, content: bytes, target: str) -> float:
        """Seconds from the first request to the answer."""
        began = time.monotonic()
        md5 = hashlib.md5(content).digest()
        location = self._uploads.create_upload_location(
            CreateUploadLocationRequest(project="p", domain="development", content_md5=md5, filename="spec.pb")
        )
        put(location.signed_url, content)
        inputs = texts(spec=location.native_url, context="", target_image=target)
        kept = self._uploads.upload_inputs(UploadInputsRequest(project_id=PROJECT, inputs=inputs))
        asked = CreateRunRequest(
            project_id=PROJECT, task_spec=build_task_spec(""), offloaded_input_data=kept.offloaded_input_data
        )
        run = self._runs.create_run(asked).run.action.id
        *_, end = self._runs.watch_action_details(WatchActionDetailsRequest(action_id=run))
        assert end.details.status.phase == 5, end
        return time.monotonic() - began


def put(url: str, content: bytes) -> None:
    where = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(where.netloc)) as connection:
        connection.request("PUT", f"{where.path}?{where.query}", content)
        assert connection.getresponse().status == 200


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    where = f"{REGISTRY}/benchmark-{uuid.uuid4().hex[:6]}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        servers = postgres(folder / "postgres").start(), redis(folder / "redis").start()
        with deployed(folder / "d", where, *servers) as deployment:
            deployment.endpoint()
            deployment.worker()
            deployment.until(lambda: deployment.ask("SELECT * FROM workers"))
            sdk, rows = Sdk(deployment.url), []
            sdk.build(spec(BASE, "true"), "warm:1")
            for number in range(rounds):
                mark = uuid.uuid4().hex
                pair = [spec(BASE, f"echo {mark} {number} {who} > /mark") for who in ("bare", "served")]
                (folder / "context").mkdir(exist_ok=True)
                target = f"served-{number}:1"
                jobs = [partial(bare, pair[0], folder / "context", where), partial(sdk.build, pair[1], target)]
                first = number % 2
                seconds = {first: jobs[first]()} | {1 - first: jobs[1 - first]()}
                rows.append((seconds[0], seconds[1], sdk.build(pair[1], target)))
                print("bare {:.2f} s, served {:.2f} s, asked again {:.3f} s".format(*rows[-1]), flush=True)
        for server in servers:
            server.stop()
    mine, peer = statistics.median(row[1] for row in rows), statistics.median(row[0] for row in rows)
    over = statistics.median(row[1] - row[0] for row in rows)
    again = statistics.median(row[2] for row in rows) * 1000
    print(f"\nmedians of {rounds}: bare {peer:.2f} s, through the service {mine:.2f} s: {over * 1000:.0f} ms more")
    print(f"asked again: {again:.0f} ms")


if __name__ == "__main__":
    main()
