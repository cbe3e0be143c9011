"""The product as its users have it: the installed commands, the unmodified SDK, a served endpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.conftest import Parts

from flyte_build.builder.uv import cache_folder

if TYPE_CHECKING:
    from tests.e2e.trust import Build, Key

BIN = Path(sys.executable).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


def run(*argv: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 300) -> Done:
    """Run a command of the environment under test; no traceback may ever reach its user."""
    command = [str(part) for part in argv]
    command[0] = str(BIN / command[0]) if (BIN / command[0]).exists() else command[0]
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | {"FLYTE_BUILD_CACHE": str(cache_folder())} | dict(env or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return Done(code=done.returncode, out=done.stdout, err=done.stderr)


@pytest.fixture
def where(parts: Parts, fresh_name: str) -> str:
    """A registry path of this test's own."""
    return f"{parts.registry}/{fresh_name}"


@pytest.fixture(scope="session")
def action(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our GitHub Action, checked out."""
    from tests.e2e.repository import check_out

    return check_out(tmp_path_factory.mktemp("action"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A served endpoint: its URL, its state folder, and where it pushes what names no registry."""

    url: str
    state: Path
    registry: str

    def program(
        self, folder: Path, *argv: str, timeout: float = 300, image: tuple[str, ...] = ("builder: remote",)
    ) -> Done:
        """Run a Python program of the user's in `folder`, with Flyte's configuration pointing here.

        A first word that is a command of the environment is that; `image` are lines of that section.
        """
        config = folder / "config.yaml"
        lines = ["admin:", f"  endpoint: {self.url}", "  insecure: true", "image:", *(f"  {line}" for line in image)]
        lines += ["task:", "  project: flytesnacks", "  domain: development"]
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        home = folder / "home"
        home.mkdir(exist_ok=True)
        env = {"FLYTECTL_CONFIG": str(config), "HOME": str(home), "PYTHONPATH": "", "COLUMNS": "200"}
        command = argv if (BIN / argv[0]).exists() else ("python", *argv)
        return run(*command, cwd=folder, env=env, timeout=timeout)

    def page(self, url: str) -> str:
        """The text of a page of the endpoint's."""
        with urllib.request.urlopen(url, timeout=30) as response:
            return str(response.read().decode())


@contextmanager
def serving(state: Path, registry: str, *flags: str | Path, env: Mapping[str, str] | None = None) -> Iterator[Service]:
    """`flyte-build serve` as a process of its own, on a port of its own."""
    log = state.parent / f"{state.name}.log"
    argv = [str(BIN / "flyte-build"), "serve", "--port", "0", "--state", str(state), "--registry", registry]
    with log.open("wb") as sink:
        argv += map(str, flags)
        process = subprocess.Popen(argv, stderr=sink, stdin=subprocess.DEVNULL, env=os.environ | dict(env or {}))
    try:
        yield Service(url=_wait_for(state / "endpoint.json", process, log), state=state, registry=registry)
    finally:
        process.terminate()
        code = process.wait(timeout=60)
    assert code == 0, log.read_text(encoding="utf-8")
    assert "Traceback" not in log.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def service(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An endpoint that lets everybody in, and its registry."""
    registry = f"{parts.registry}/service-{uuid.uuid4().hex[:8]}"
    with serving(tmp_path_factory.mktemp("service") / "state", registry) as served:
        yield served


def _wait_for(ready: Path, process: subprocess.Popen[bytes], log: Path) -> str:
    while not ready.exists():
        if process.poll() is not None:
            pytest.fail(f"the endpoint did not start: {log.read_text(encoding='utf-8')}")
        time.sleep(0.05)
    return str(json.loads(ready.read_text(encoding="utf-8"))["url"])


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    """A key to sign with."""
    from tests.e2e.trust import new_key

    return new_key(tmp_path_factory.mktemp("keys") / "own")


@pytest.fixture
def build(tmp_path: Path, parts: Parts, where: str, key: Key, fresh_name: str) -> Build:
    """Builds a small image of this test's own, signed or not; its pinned reference."""
    from tests.e2e.test_image import spec_file
    from tests.e2e.trust import PASSWORD

    def built(*flags: str | Path, layers: tuple[str, ...] = (), signed: bool = True) -> str:
        file = spec_file(tmp_path, parts, f'env = {{ A = "{fresh_name}" }}', *layers)
        signing = ("--sign", key.private, "--no-tlog") if signed else ()
        done = run("flyte-build", "image", file, "--registry", where, *signing, *flags, env=PASSWORD)
        assert done.code == 0, done.err
        return done.out.strip()

    return built
