"""Resolving a request of packages by `uv pip compile`: exact versions with hashes, for every platform at once."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from flyte_build.builder.machine import Machine
from flyte_build.builder.plan import PipInstall
from flyte_build.builder.spec import ImageSpec, PipOptions
from flyte_build.builder.unresolved import unresolved
from flyte_build.builder.uv import host_uv
from flyte_build.registry.errors import InvalidInput, PackageIndexError

# Of `uv pip install` and `uv pip compile` alike (uv's command reference).
_CHOOSE = frozenset({"--no-deps", "--no-build", "--pre", "--no-index"})
_CHOOSE_BY_VALUE = frozenset(
    {
        "--exclude-newer",
        "--fork-strategy",
        "--index-strategy",
        "--no-binary",
        "--only-binary",
        "--prerelease",
        "--resolution",
    }
)
_TIMEOUT = 600


def compile_pins(
    layer: PipInstall, spec: ImageSpec, sources: Mapping[str, Path], before: tuple[str, ...], machine: Machine
) -> tuple[str, ...]:
    """Resolve one request with uv: a line per package, with its hashes and, where platforms differ, its marker.

    Raises PackageIndexError with uv's reason and a hint when there is no solution.
    """
    with tempfile.TemporaryDirectory(prefix="flyte-build-lock-") as folder:
        work = Path(folder)
        _lay(layer, sources, work, before)
        argv = [str(host_uv()), "pip", "compile", "--universal", "--python-version", python_of(spec), "--no-config"]
        argv += ["--generate-hashes", "--no-header", "--no-annotate", "--quiet", "--constraint", "before.txt"]
        argv += [*_index_arguments(layer.options), *_choices(layer.options), "asked.in"]
        done = subprocess.run(
            argv, cwd=work, env=_environment(machine), capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    if done.returncode != 0:
        cause, hint = unresolved(done.stderr, layer.options.index_url or machine.index_url)
        raise PackageIndexError(f"the packages of {spec.name!r} cannot be resolved: {cause}", hint=hint)
    return tuple(_joined(done.stdout))


def _lay(layer: PipInstall, sources: Mapping[str, Path], work: Path, before: tuple[str, ...]) -> None:
    for file in layer.tree.files:
        place = work / "files" / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(sources[file.sha256].read_bytes())
    asked = [*layer.packages, *(f"-r files/{name}" for name in layer.requirements)]
    (work / "asked.in").write_text("".join(f"{line}\n" for line in asked), encoding="utf-8")
    # What earlier layers installed stays as it is; hashes are no constraints.
    constraints = [pin.partition(" --hash")[0] for pin in before]
    (work / "before.txt").write_text("".join(f"{line}\n" for line in constraints), encoding="utf-8")


def _joined(text: str) -> list[str]:
    """Lines of a requirements file, continued ones joined; comments left out."""
    lines = text.replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _index_arguments(options: PipOptions) -> list[str]:
    arguments = ["--default-index", options.index_url] if options.index_url else []
    for url in options.extra_index_urls:
        arguments += ["--index", url]
    return [*arguments, "--prerelease", "allow"] if options.pre else arguments


def _choices(options: PipOptions) -> list[str]:
    """Those of the layer's extra arguments that decide what is installed, so that the same is decided here."""
    found: list[str] = []
    rest = iter(shlex.split(options.extra_args))
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if flag in _CHOOSE_BY_VALUE:
            found += [flag, value if equals else next(rest, "")]
        elif argument in _CHOOSE:
            found.append(argument)
    return found


def _environment(machine: Machine) -> dict[str, str]:
    environment = dict(os.environ)
    if machine.ca is not None:
        environment["SSL_CERT_FILE"] = str(machine.ca)
    if machine.index_url:
        environment["UV_DEFAULT_INDEX"] = machine.index_url
    if machine.extra_index_urls:
        environment["UV_INDEX"] = " ".join(machine.extra_index_urls)
    return environment


def python_of(spec: ImageSpec) -> str:
    if spec.python is None:
        raise InvalidInput(f"the image {spec.name!r} does not say its Python", hint="a lock needs `python`, like 3.12")
    return spec.python
