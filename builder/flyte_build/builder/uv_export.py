"""What a `uv.lock` pins, by `uv export`, which reads the lock and nothing else: no index, no interpreter, no code."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from flyte_build.builder.uv import host_uv
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.redact import plain

_TIMEOUT = 120
# A stranger's arguments reach uv on the machine that resolves: those that choose packages, none that name places.
_FLAGS = frozenset(
    (
        "--all-extras",
        "--all-groups",
        "--all-packages",
        "--dev",
        "--no-default-groups",
        "--no-dev",
        "--no-install-local",
        "--no-install-project",
        "--no-install-workspace",
        "--only-dev",
    )
)
_VALUES = frozenset(
    ("--extra", "--group", "--no-extra", "--no-group", "--no-install-package", "--only-group", "--package")
)
# Those of `uv sync` that change nothing here: what is exported is never resolved, and never removes.
_VOID = frozenset(["--active", "--inexact", "--frozen", "--locked", "--no-editable", "--compile-bytecode"])
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """`pins`: a line per package with its hashes. `local`: (path as the lock has it, marker) of what lies on disk."""

    pins: tuple[str, ...]
    local: tuple[tuple[str, str], ...]


def export_arguments(arguments: list[str]) -> tuple[str, ...]:
    """Arguments of `uv sync` -> those of `uv export`. Raises InvalidInput for one that does not choose packages."""
    found: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if flag in _VALUES:
            value = value if equals else next(rest, "")
            if not _NAME.fullmatch(value):
                raise InvalidInput(f"extra_args: {flag} {value!r} is not a name")
            found += [flag.replace("--no-install-", "--no-emit-"), value]
        elif argument in _FLAGS:
            found.append(argument.replace("--no-install-", "--no-emit-"))
        elif argument not in _VOID:
            known = ", ".join(sorted(_FLAGS | _VALUES))
            raise InvalidInput(f"extra_args: {argument!r} does not choose packages of a lock", hint=f"known: {known}")
    return tuple(found)


def export(files: Mapping[str, str], project: str, arguments: tuple[str, ...]) -> Exported:
    """Run `uv export` on `files` (path -> text) in their folder `project`.

    Raises InvalidInput with uv's own reason: a lock that is damaged or too new, a group that is not there.
    """
    with tempfile.TemporaryDirectory(prefix="flyte-build-uv-") as folder:
        for name, text in files.items():
            place = Path(folder) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
        argv = [str(host_uv()), "export", "--frozen", "--offline", "--no-config", "--no-cache", "--quiet"]
        argv += ["--format", "requirements.txt", "--no-header", "--no-annotate", "--no-editable", "--no-emit-project"]
        argv += [argument for argument in arguments if argument != "--no-emit-project"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("UV_")}
        done = subprocess.run(
            argv, cwd=Path(folder) / project, env=environment, capture_output=True, timeout=_TIMEOUT, check=False
        )
    if done.returncode != 0:
        reason = plain(" ".join(done.stderr.decode(errors="replace").split()))
        raise InvalidInput(f"uv.lock cannot be read: {reason.removeprefix('error: ')[:400]}", hint="run `uv lock`")
    return _parsed(done.stdout.decode())


def _parsed(text: str) -> Exported:
    pins: list[str] = []
    local: list[tuple[str, str]] = []
    for line in _joined(text):
        requirement, _, marker = line.removeprefix("-e ").partition(" ; ")
        if requirement.startswith((".", "/", "file:")) or ("@ file:" in requirement):
            local.append((requirement.rpartition("@ ")[2].split(" --hash=")[0], marker.split(" --hash=")[0].strip()))
        else:
            pins.append(line)
    return Exported(pins=tuple(sorted(pins)), local=tuple(sorted(local)))


def _joined(text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            hashes = sorted(word for word in words if word.startswith("--hash="))
            yield " ".join([*(word for word in words if not word.startswith("--hash=")), *hashes])
