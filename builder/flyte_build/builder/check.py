"""Everything that can be wrong with a spec before anybody looks at a file or a registry. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import TypeVar

from flyte_build.builder import recipe
from flyte_build.builder.check_pip import check_options, check_packages
from flyte_build.builder.check_projects import check_project, named
from flyte_build.builder.spec import (
    Apt,
    Commands,
    Copy,
    Env,
    ImageSpec,
    Layer,
    Pip,
    PipOptions,
    Requirements,
    SecretMount,
    User,
    Workdir,
)
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidInput, Problem
from flyte_build.registry.names import ImageName, Repository

T = TypeVar("T")

_PYTHON = re.compile(r"3\.[0-9]{1,2}")
# Debian Policy 5.6.1 (package names), with the architecture and the version or suite that apt-get takes.
_APT = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?([=/][A-Za-z0-9.+~:-]+)?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_USER = re.compile(r"[a-z_0-9][a-z0-9_-]*(:[a-z_0-9][a-z0-9_-]*)?")
# Linux takes no argument over 128 KiB (MAX_ARG_STRLEN), and a command is one; BuildKit takes no line over 64 KiB.
_LONGEST_COMMAND = 120 << 10
_LONGEST_VALUE = 24 << 10


def head(spec: ImageSpec) -> Iterator[Problem]:
    """All that is wrong with `spec` apart from its layers, each with its dotted path."""
    wrong = tuple(_head_types(spec))
    if wrong:
        yield from wrong
        return
    yield from _checked("name", Repository.parse, f"registry.invalid/{spec.name}")
    if spec.dockerfile is not None:
        yield from _dockerfile(spec)
    if spec.registry is not None:
        yield from _checked("registry", Repository.parse, f"{spec.registry}/image")
    yield from _checked("base", ImageName.parse, spec.base_name)
    if spec.python is not None and not _PYTHON.fullmatch(spec.python):
        yield Problem("python", f"{spec.python!r} is not a Python version; write it like 3.12")
    for number, platform in enumerate(spec.platforms):
        yield from _checked(f"platforms[{number}]", recipe.uv_wheel, platform)


def _dockerfile(spec: ImageSpec) -> Iterator[Problem]:
    yield from named(spec.dockerfile or "", "dockerfile")
    beside = {"base": spec.base, "python": spec.python, "layers": spec.layers, "dockerignore": spec.dockerignore}
    for name, value in beside.items():
        if value:
            yield Problem(name, "goes with layers, and a Dockerfile takes none; say it in the Dockerfile")


def layer(layer: object) -> tuple[Problem, ...]:
    """All that is wrong with one layer, with paths inside it."""
    if not isinstance(layer, Layer):
        return (Problem("", f"is {layer!r}, not a layer"),)
    return tuple(_types(layer, "")) or tuple(_rules(layer))


def placed(problem: Problem, path: str) -> Problem:
    """The same problem, `path` being the place of the value that it was found in."""
    separator = "." if problem.path and not problem.path.startswith("[") else ""
    return Problem(f"{path}{separator}{problem.path}", problem.message)


# What a Python program made may hold anything, whatever the annotations say; the rules are for text.
def _head_types(spec: ImageSpec) -> Iterator[Problem]:
    for name in ("name", "registry", "base", "python", "dockerignore", "dockerfile"):
        yield from _types(getattr(spec, name), name)
    platforms: tuple[object, ...] = spec.platforms
    for number, platform in enumerate(platforms):
        if not isinstance(platform, Platform):
            yield Problem(f"platforms[{number}]", f"is {platform!r}, not a Platform; write Platform.parse(…)")


def _types(value: object, path: str) -> Iterator[Problem]:
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            part, where = getattr(value, field.name), f"{path}.{field.name}" if path else field.name
            if field.type == "bool" and not isinstance(part, bool):
                yield Problem(where, f"is {part!r}, not True or False")
            elif field.type != "bool":
                yield from _types(part, where)
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _types(item, f"{path}[{number}]")
    elif value is not None and not isinstance(value, str):
        yield Problem(path, f"is {value!r} ({type(value).__name__}), not text")


def _checked(path: str, parse: Callable[[T], object], value: T) -> Iterator[Problem]:
    try:
        parse(value)
    except InvalidInput as error:
        yield Problem(path, f"{error.sentence} ({error.hint})" if error.hint else error.sentence)


def _rules(layer: Layer) -> Iterator[Problem]:
    if isinstance(layer, Apt):
        yield from _apt(layer)
    elif isinstance(layer, Pip):
        yield from check_packages(layer.packages)
        yield from _length(" ".join(layer.packages), "put the packages into a requirements file")
    elif isinstance(layer, Commands):
        yield from _commands(layer)
    elif isinstance(layer, Env):
        yield from _env(layer)
    elif isinstance(layer, (Workdir, Copy, User)):
        yield from _places(layer)
    elif isinstance(layer, Requirements):
        yield from named(layer.file, "")
    else:
        yield from check_project(layer)
    options = getattr(layer, "options", None)
    if isinstance(options, PipOptions):
        yield from check_options(options)
    yield from _secrets(getattr(layer, "secrets", ()))


def _apt(layer: Apt) -> Iterator[Problem]:
    if not layer.packages:
        yield Problem("", "names no package")
    for package in layer.packages:
        if not _APT.fullmatch(package):
            yield Problem("", f"{package!r} is not the name of a Debian package")
    yield from _length(" ".join(layer.packages), "use several layers")


def _commands(layer: Commands) -> Iterator[Problem]:
    if not layer.commands:
        yield Problem("", "has no command")
    for number, command in enumerate(layer.commands):
        if not command.strip() or "\0" in command:
            yield Problem(f"[{number}]", "has a NUL character" if "\0" in command else "is empty")
        for problem in _length(command, "copy a script and run that"):
            yield Problem(f"[{number}]", problem.message)


def _length(command: str, advice: str) -> Iterator[Problem]:
    if len(command.encode(errors="replace")) > _LONGEST_COMMAND:
        yield Problem("", f"is longer than {_LONGEST_COMMAND >> 10} KiB, the most that a step can be told; {advice}")


def _env(layer: Env) -> Iterator[Problem]:
    names = [name for name, _ in layer.variables]
    for name in sorted(set(names)):
        if names.count(name) > 1:
            yield Problem(name, "is set twice")
    for name, value in layer.variables:
        if not _VARIABLE.fullmatch(name):
            yield Problem("", f"{name!r} is not the name of an environment variable")
        if any(character in value for character in "\n\r\0"):
            yield Problem(name, "has a line break, which an image's environment cannot carry through a build")
    if sum(len(name) + 2 * len(value) for name, value in layer.variables) > _LONGEST_VALUE:
        yield Problem("", f"is longer than {_LONGEST_VALUE >> 10} KiB; use several layers, or copy a file")


def _places(layer: Workdir | Copy | User) -> Iterator[Problem]:
    if isinstance(layer, User):
        if not _USER.fullmatch(layer.name):
            yield Problem("", f"{layer.name!r} is not a user name or user:group")
        return
    path = layer.path if isinstance(layer, Workdir) else layer.to
    if not path or any(ord(character) < 32 for character in path):
        yield Problem("", f"{path!r} is not a path")
    elif "$" in path:
        yield Problem("", f"{path!r} has a $, which means nothing in a path; write the path out")
    if isinstance(layer, Copy):
        if "\0" in layer.source or not layer.source:
            yield Problem("", f"{layer.source!r} is not a path")
        if layer.owner is not None and not _USER.fullmatch(layer.owner):
            yield Problem("owner", f"{layer.owner!r} is not a user name or user:group")


def _secrets(secrets: tuple[SecretMount, ...]) -> Iterator[Problem]:
    names = [secret.name for secret in secrets]
    for secret in secrets:
        if not _SECRET.fullmatch(secret.name) or secret.name.startswith("flyte-build"):
            yield Problem("secrets", f"{secret.name!r} is not a secret's name (letters, digits and . _ -)")
        if secret.env is not None and not _VARIABLE.fullmatch(secret.env):
            yield Problem("secrets", f"{secret.env!r} is not the name of an environment variable")
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem("secrets", f"{name!r} is named twice")
