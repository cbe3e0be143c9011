"""Our own images, built by the bake file that publishes them, on bases of this machine, into the local registry."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.engine import PULLED, docker

from flyte_build.builder.machine import find_machine

ROOT = Path(__file__).parents[2]
BAKE = "images/docker-bake.hcl"
VERSION = "v0.0.1"
SERVICES = ("endpoint", "builder", "build-image")
# Debian's suites by the Python that they have. No suite has 3.10 or 3.12.
SUITES = {"3.13": "trixie", "3.14": "forky"}
# As `push=true`, but the engine keeps no copy of its own.
PUSH = "type=image,push=,oci-mediatypes=true,unpack=false,store=false"


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """What was built: where, on what, and words that were in the secrets of the steps."""

    registry: str
    bases: dict[str, str]
    secret: str

    @property
    def pythons(self) -> tuple[str, ...]:
        """The Pythons that there are runtimes of."""
        return tuple(self.bases)

    def reference(self, name: str) -> str:
        """`endpoint`, or `runtime:3.11`."""
        image, _, python = name.partition(":")
        return f"{self.registry}/{image}:{f'py{python}-' if python else ''}{VERSION}"

    def base(self, name: str) -> str:
        """The image that this one starts from."""
        return self.bases[name.partition(":")[2] or "3.13"]

    def pulled(self, name: str) -> str:
        """The reference, after the engine has pulled it; it is removed when the tests end."""
        reference = self.reference(name)
        PULLED.add(reference)
        done = docker("pull", "--quiet", reference)
        assert done.returncode == 0, done.stderr
        return reference


def bake(targets: tuple[str, ...], *flags: str, **variables: str) -> str:
    """Runs `docker buildx bake` at the top of the repository; what it printed."""
    argv = ("docker", "buildx", "--builder", "default", "bake", "--file", BAKE, *flags, *targets)
    done = subprocess.run(
        argv, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return done.stdout


def build(registry: str, folder: Path, parts: Parts) -> Images:
    """All of them that can be had here, for linux/amd64."""
    bases = bases_of(parts)
    secret = f"secret-{os.urandom(8).hex()}"
    secrets = secret_files(folder, secret)
    wheel = subprocess.run(
        ("uv", "build", "--wheel", "--quiet", "--out-dir", str(folder / "dist"), str(ROOT)), check=False
    )
    assert wheel.returncode == 0
    file = bases_file(folder, bases)
    names = tuple(f"runtime-{python.replace('.', '')}" for python in bases)
    flags = ("--set", "*.platform=linux/amd64", "--set", f"*.output={PUSH}")
    where = {"REGISTRY": registry, "VERSION": VERSION, "BASES": str(file), "DIST": str(folder / "dist")}
    bake((*names, *SERVICES), *flags, **where, **secrets)
    return Images(registry=registry, bases=bases, secret=secret)


def bases_of(parts: Parts) -> dict[str, str]:
    """Images by their Python: the public ones where the base of the tests is one, else made from Debian's packages."""
    if os.environ.get("FLYTE_BUILD_TEST_BASE_ORIGIN") == "pulled":
        return {python: f"python:{python}-slim-trixie" for python in ("3.11", *SUITES)}
    with ThreadPoolExecutor() as making:
        made = making.map(partial(debian_base, parts.registry), SUITES.values())
        return {"3.11": parts.base, **dict(zip(SUITES, made, strict=True))}


def bases_file(folder: Path, bases: dict[str, str]) -> Path:
    """A file like images/bases.Dockerfile, pinned by the script that pins that one."""
    file = folder / "bases.Dockerfile"
    file.write_text("".join(f"FROM {image} AS python{python}\n" for python, image in bases.items()), encoding="utf-8")
    done = pin("--file", str(file), "--platform", "linux/amd64")
    assert done.returncode == 0, done.stderr
    return file


def pin(*argv: str) -> subprocess.CompletedProcess[str]:
    """`images/pin.py`."""
    command = (sys.executable, str(ROOT / "images/pin.py"), *argv)
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def secret_files(folder: Path, secret: str) -> dict[str, str]:
    """What this machine's steps need, each with a word that nothing may keep."""
    machine = find_machine()
    texts = {
        "CA_BUNDLE": machine.ca.read_text(encoding="utf-8") if machine.ca else "",
        "INDEX_SCRIPT": f"{machine.index_script()}export NOBODY_KEEPS_THIS={secret}\n",
        "NETRC_FILE": machine.netrc.read_text(encoding="utf-8") if machine.netrc else "",
    }
    for name, text in texts.items():
        (folder / name).write_text(f"# {secret}\n{text}", encoding="utf-8")
    if not machine.ca:
        del texts["CA_BUNDLE"]  # an empty bundle would trust nobody
    return {name: str(folder / name) for name in texts}


def debian_base(registry: str, suite: str) -> str:
    """A base from Debian's packages alone, in the local registry."""
    made = subprocess.run((ROOT / "tests/parts/parts", "rootfs", suite), capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    tar, name = Path(made.stdout.strip()), f"{registry}/base/debian-python:{suite}"
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    text = f'FROM scratch\nADD {tar.name} /\nENV PATH={path} LANG=C.UTF-8\nCMD ["python3"]\n'
    argv = ("docker", "buildx", "build", "--builder", "default", "--provenance=false", "--file", "-")
    done = subprocess.run(
        (*argv, "--output", f"{PUSH},name={name}", str(tar.parent)),
        input=text,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return name


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def once(factory: pytest.TempPathFactory, make: Callable[[Path], Images]) -> Images:
    """What `make` makes in a folder, made by the first of pytest-xdist's processes and read by the others."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "images"
    folder.mkdir(exist_ok=True)
    note = folder / "images.json"
    with _locked(folder / "lock"):
        if not note.exists():
            made = make(folder)
            note.write_text(json.dumps([made.registry, made.bases, made.secret]), encoding="utf-8")
    registry, bases, secret = json.loads(note.read_text(encoding="utf-8"))
    return Images(registry=registry, bases=bases, secret=secret)
