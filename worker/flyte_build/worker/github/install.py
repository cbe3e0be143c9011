"""Installs flyte-build for the action: run as a script by whatever Python the job has, before anything is installed.

Standard library only. From the action's own checkout, so that the action's ref pins it (and constraints.txt what it
needs), or a released version. Nothing that the job has on its PATH is hidden: only `flyte-build` itself is added.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_MINIMUM = (3, 10)
_CLOUDS = ((".amazonaws.com", "aws"), (".pkg.dev", "gcp"), ("gcr.io", "gcp"), (".azurecr.io", "azure"))


def extras(given: str, registry: str, sources: str) -> list[str]:
    """What beside the core is needed: `given`, the registry's cloud, and the SDK where a source is Python."""
    host = registry.partition("/")[0]
    found = {extra.strip() for extra in given.replace("\n", ",").split(",") if extra.strip()}
    found |= {extra for end, extra in _CLOUDS if host.endswith(end)}
    files = [line.strip() for line in sources.splitlines() if line.strip()]
    if any(
        not line.endswith(".toml") and "dockerfile" not in line.lower() and not Path(line).is_dir() for line in files
    ):
        found.add("flyte")
    return sorted(found)


def requirement(version: str, source: Path, wanted: list[str]) -> str:
    """What to install: a version from the index, or the checkout."""
    name = f"flyte-build[{','.join(wanted)}]" if wanted else "flyte-build"
    return f"{name}=={version}" if version else f"{name} @ {source.as_uri()}"


def install(environ: Mapping[str, str]) -> Path:
    """Makes an environment of its own below `RUNNER_TEMP`; the folder that holds `flyte-build` alone."""
    action = {key.removeprefix("FLYTE_BUILD_ACTION_"): value for key, value in environ.items()}
    source = Path(__file__).resolve().parents[4]
    wanted = extras(action.get("EXTRAS", ""), action.get("REGISTRY", ""), action.get("SOURCES", ""))
    place = Path(environ.get("RUNNER_TEMP") or Path.cwd(), "flyte-build")
    more = [line.strip() for line in action.get("REQUIREMENTS", "").splitlines() if line.strip()]
    version = action.get("VERSION", "").strip()
    packages = [requirement(version, source, wanted), *more]
    pins = source / "constraints.txt"
    if pins.is_file() and not version:
        packages += ["-c", str(pins)]
    _run(place / "venv", packages)
    alone = place / "bin"
    alone.mkdir(parents=True, exist_ok=True)
    link = alone / "flyte-build"
    link.unlink(missing_ok=True)
    link.symlink_to(place / "venv" / "bin" / "flyte-build")
    return alone


def _run(venv: Path, packages: list[str]) -> None:
    uv = shutil.which("uv")
    python = str(venv / "bin" / "python")
    if uv:
        _call(uv, "venv", "--quiet", "--clear", "--no-project", "--python", sys.executable, str(venv))
        _call(uv, "pip", "install", "--quiet", "--no-config", "--python", python, *packages)
        return
    _call(sys.executable, "-m", "venv", "--clear", str(venv))
    _call(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages)


def _call(*argv: str) -> None:
    done = subprocess.run(argv, check=False)
    if done.returncode:
        sys.exit(
            f"::error::flyte-build could not be installed: {Path(argv[0]).name} ended with {done.returncode}, see above"
        )


def _main() -> None:
    if sys.version_info < _MINIMUM:
        sys.exit("::error::flyte-build needs Python 3.10 or newer as python3: add actions/setup-python before it")
    alone = install(os.environ)
    if os.environ.get("GITHUB_PATH"):
        with Path(os.environ["GITHUB_PATH"]).open("a", encoding="utf-8") as opened:
            opened.write(f"{alone}\n")


if __name__ == "__main__":
    _main()
