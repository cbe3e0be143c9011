"""A split deployment of real processes: an endpoint without a worker, workers, PostgreSQL, a broker, a shared store.

The workers are the product's own command but for one thing: they note in a file when they begin to build an image and
when they are done, so that a test can see whether two ever built the same one at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import text
from tests.worker.services import Server, free_port

from flyte_build.builder.uv import cache_folder
from flyte_build.worker.database.engine import Database

LEASE = 4.0
_ENDPOINT = "from flyte_build.worker.cli.main import main; main()"
_WORKER = """
import json, os, sys, time
from flyte_build.worker.cli.main import main
from flyte_build.worker.drivers.service import ServiceBuilding

building = ServiceBuilding.__call__

def noted(self, request, log, cancelled):
    def note(what):
        line = json.dumps([what, request.target + request.part, os.getpid(), time.time()]) + "\\n"
        descriptor = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line.encode())
        os.close(descriptor)
    note("begin")
    try:
        return building(self, request, log, cancelled)
    finally:
        note("end")

ServiceBuilding.__call__ = noted
sys.exit(main())
"""


@dataclass
class Process:
    """One of our own processes: started, killed, started again."""

    argv: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Process:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"FLYTE_BUILD_CACHE": str(cache_folder())} | dict(self.environment),
            )
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)

    def wait(self, seconds: float = 30) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def restart(self) -> None:
        self.kill()
        self.wait()
        self.start()

    def said(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass
class Deployment:
    """What runs, and what is known of it. `registry` takes the images, `store` the uploads (empty: a folder);
    `also` are further flags of every process, `environment` is of every process.
    """

    folder: Path
    registry: str
    database: Server
    broker: Server | None
    lease: float = LEASE
    processes: list[Process] = field(default_factory=list)
    store: str = ""
    also: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def notes(self) -> Path:
        return self.folder / "notes"

    def _shared(self) -> tuple[str, ...]:
        broker = ("--broker", self.broker.url) if self.broker else ()
        store = self.store or str(self.folder / "store")
        shared = ("--database", self.database.url, "--store", store, "--lease", str(self.lease))
        return (*shared, *broker, "--registry", self.registry, *self.also)

    def endpoint(self, *more: str) -> Process:
        argv = ("serve", "--no-worker", "--port", str(self.port), "--state", str(self.folder / "endpoint"))
        program = (sys.executable, "-c", _ENDPOINT, *argv, *self._shared(), *more)
        process = Process(program, self.folder / "endpoint.log", self.environment).start()
        self.processes.append(process)
        self.until((self.folder / "endpoint" / "endpoint.json").exists)
        return process

    def worker(self, *more: str, **environment: str) -> Process:
        number = len(self.processes)
        argv = ("worker", "--state", str(self.folder / "workers"), *self._shared(), *more)
        process = Process(
            (sys.executable, "-c", _WORKER, *argv),
            self.folder / f"worker-{number}.log",
            {"NOTES": str(self.notes), **self.environment, **environment},
        ).start()
        self.processes.append(process)
        return process

    def ask(self, query: str) -> list[tuple[object, ...]]:
        database = Database(self.database.url)
        try:
            with database.read() as session:
                return [tuple(row) for row in session.execute(text(query))]
        finally:
            database.close()

    def until(self, condition: Callable[[], object], seconds: float = 150) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not happen:\n" + self.said()
            time.sleep(0.05)

    def states(self) -> dict[str, int]:
        return {
            str(state): int(str(count))
            for state, count in self.ask("SELECT state, count(*) FROM builds GROUP BY state")
        }

    def began(self) -> list[tuple[str, str, int, float]]:
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        return [tuple(json.loads(line)) for line in lines]

    def said(self) -> str:
        return "\n".join(
            f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in self.folder.glob("*.log")
        )

    def together(self, deaths: Mapping[int, float]) -> list[str]:
        """The images that two workers built at once; `deaths` says when which process was killed."""
        running: dict[str, dict[int, float]] = {}
        found = []
        for what, target, pid, at in self.began():
            others = running.setdefault(target, {})
            for other in [one for one in others if deaths.get(one, at + 1) <= at]:
                del others[other]
            if what == "end":
                others.pop(pid, None)
                continue
            if others:
                found.append(target)
            others[pid] = at
        return found

    def stop(self) -> None:
        for process in self.processes:
            process.kill(signal.SIGTERM)
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait()


@contextlib.contextmanager
def deployed(folder: Path, registry: str, database: Server, broker: Server | None) -> Iterator[Deployment]:
    folder.mkdir(parents=True, exist_ok=True)
    deployment = Deployment(folder, registry, database, broker)
    try:
        yield deployment
    finally:
        deployment.stop()
