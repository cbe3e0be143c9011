"""uv for the target platform: its wheel from the machine's own index, checked against the recipe, kept on disk.

pip fetches it, because pip already knows this machine's index, credentials, proxy and CA.
"""

from __future__ import annotations

import hashlib
import os
import platform as host
import shutil
import sys
import tempfile
import threading
import zipfile
from pathlib import Path

from flyte_build.builder import process
from flyte_build.builder.recipe import UV_VERSION, Wheel, uv_wheel
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import BuildCancelled, InvalidInput, PackageIndexError
from flyte_build.registry.redact import plain

_TIMEOUT = 600.0
_ADVICE = "check the network and this machine's pip configuration (`pip config list`)"
_CHUNK = 1 << 20


def cache_folder() -> Path:
    """Where this machine keeps what can be fetched again (`FLYTE_BUILD_CACHE`, else XDG's cache)."""
    chosen = os.environ.get("FLYTE_BUILD_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flyte-build"


def has_uv(platform: Platform) -> bool:
    """Whether `fetch_uv` would answer from disk."""
    return _binary(uv_wheel(platform)).is_file()


def fetch_uv(platform: Platform, cancelled: threading.Event | None = None) -> Path:
    """The uv executable for `platform`; at most one download per machine and recipe.

    Raises PackageIndexError when the index cannot be reached, has no such wheel, or has another one, and
    BuildCancelled when `cancelled` is set meanwhile.
    """
    wheel = uv_wheel(platform)
    binary = _binary(wheel)
    if binary.is_file():
        return binary
    try:
        binary.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=binary.parent) as folder:
            file = _download(wheel, Path(folder), cancelled or threading.Event())
            _unpack(file, Path(folder)).replace(binary)
    except OSError as error:
        raise InvalidInput(
            f"uv cannot be kept in {binary.parent}: {error.strerror}",
            hint="set FLYTE_BUILD_CACHE to a folder that can be written",
        ) from error
    return binary


def host_uv() -> Path:
    """A uv that runs on this machine: the one on PATH, else (on Linux) the recipe's own.

    Raises PackageIndexError when there is neither.
    """
    found = shutil.which("uv")
    if found is not None:
        return Path(found)
    if sys.platform != "linux":
        raise PackageIndexError("uv, which resolves packages, is not installed", hint="install uv")
    return fetch_uv(Platform.parse(f"linux/{host.machine()}"))


def _binary(wheel: Wheel) -> Path:
    return cache_folder() / "uv" / wheel.sha256 / "uv"


def _download(wheel: Wheel, folder: Path, cancelled: threading.Event) -> Path:
    platform_tag = wheel.filename.removesuffix(".whl").split("-")[-1].split(".")[0]
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    argv += ["--no-input", "--retries", "2", "--timeout", "30", "--only-binary=:all:", "--platform", platform_tag]
    argv += ["--dest", str(folder), f"uv=={UV_VERSION}"]
    said: list[str] = []
    code = process.run(tuple(argv), said.append, cancelled=cancelled, timeout=_TIMEOUT)
    if cancelled.is_set():
        raise BuildCancelled("the build was cancelled")
    if code is None:
        raise PackageIndexError(f"uv {UV_VERSION} could not be downloaded in {_TIMEOUT / 60:g} minutes", hint=_ADVICE)
    found = next(folder.glob("uv-*.whl"), None)
    if code != 0 or found is None:
        reason = _reason("".join(said).splitlines())
        raise PackageIndexError(
            f"uv {UV_VERSION}, which installs packages in the image, could not be downloaded: {reason}", hint=_ADVICE
        )
    if _sha256(found) != wheel.sha256:
        raise PackageIndexError(
            f"the package index gave another {found.name} than the recipe names, so it was not used",
            hint="point pip at an index that serves unmodified wheels",
        )
    return found


def _reason(said: list[str]) -> str:
    """pip warns of every attempt, and ends with an error that names the package only."""
    if any("connection broken by" in line for line in said):
        return "the package index does not answer"
    error = next((line for line in reversed(said) if line.startswith("ERROR:")), "ERROR: pip gave no reason")
    if error == "ERROR: Exception:":  # a traceback follows, whose last line says what it was
        error = next((line for line in reversed(said) if line.strip()), error)
    return plain(error.removeprefix("ERROR:").strip())


def _unpack(wheel: Path, folder: Path) -> Path:
    binary = folder / "uv"
    member = f"uv-{UV_VERSION}.data/scripts/uv"
    with zipfile.ZipFile(wheel) as archive, archive.open(member) as reader, binary.open("wb") as writer:
        while chunk := reader.read(_CHUNK):
            writer.write(chunk)
    binary.chmod(0o755)
    return binary


def _sha256(file: Path) -> str:
    hasher = hashlib.sha256()
    with file.open("rb") as reader:
        while chunk := reader.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()
