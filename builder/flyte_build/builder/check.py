"""Everything that can be wrong with a spec before anybody looks at a file or a registry. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import TypeVar

from flyte_build.builder import recipe
from flyte_build.builder.check_pip import check_options, check_packages
from flyte_build.builder.check_plain import (
    SECRET,
    check_apt,
    check_commands,
    check_env,
    check_length,
    check_places,
    check_secrets,
)
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
    User,
    Workdir,
)
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidInput, Problem
from flyte_build.registry.names import ImageName, Repository

T = TypeVar("T")

_NOWHERE = "registry.invalid/"
_PYTHON = re.compile(r"3\.[0-9]{1,2}")


def head(spec: ImageSpec) -> Iterator[Problem]:
    """All that is wrong with `spec` apart from its layers, each with its dotted path."""
    wrong = tuple(_head_types(spec))
    if wrong:
        yield from wrong
        return
    yield from _checked("name", Repository.parse, f"{_NOWHERE}{spec.name}")
    if spec.dockerfile is not None:
        yield from _dockerfile(spec)
    if spec.registry is not None:
        yield from _checked("registry", Repository.parse, f"{spec.registry}/image")
    if spec.registry_secret is not None and not SECRET.fullmatch(spec.registry_secret):
        yield Problem("registry_secret", f"{spec.registry_secret!r} is not a secret's name (letters, digits and . _ -)")
    if spec.ref is not None:
        beside = ", and there is a base beside it" if spec.base is not None else ""
        yield Problem("ref", f"{spec.ref!r} was not looked up{beside}; give exactly one of base and ref")
    if spec.base == "":
        yield Problem("base", "is empty; name an image, or take it out for the default")
    yield from _checked("base", ImageName.parse, spec.base_name)
    if spec.python is not None and not _PYTHON.fullmatch(spec.python):
        yield Problem("python", f"{spec.python!r} is not a Python version; write it like 3.12")
    for number, platform in enumerate(spec.platforms):
        yield from _checked(f"platforms[{number}]", recipe.uv_wheel, platform)


def _dockerfile(spec: ImageSpec) -> Iterator[Problem]:
    yield from named(spec.dockerfile or "", "dockerfile")
    beside = {
        "base": spec.base,
        "ref": spec.ref,
        "python": spec.python,
        "layers": spec.layers,
        "dockerignore": spec.dockerignore,
    }
    for name, value in beside.items():
        if value:
            yield Problem(name, "cannot stand beside a Dockerfile; say it in the Dockerfile, and take it out here")


def spec(spec: ImageSpec) -> tuple[Problem, ...]:
    """All that is wrong with a spec before any file of it is read."""
    return (
        *head(spec),
        *(placed(problem, place(number, one)) for number, one in enumerate(spec.layers) for problem in layer(one)),
    )


def layer(layer: object) -> tuple[Problem, ...]:
    """All that is wrong with one layer, with paths inside it."""
    if not isinstance(layer, Layer):
        return (Problem("", f"is {layer!r}, not a layer"),)
    return tuple(_types(layer, "")) or tuple(_rules(layer))


def place(number: int, layer: object) -> str:
    """The dotted path of a layer: `layers[2].pip`."""
    kind = getattr(layer, "kind", "")
    return f"layers[{number}].{kind}" if kind else f"layers[{number}]"


def placed(problem: Problem, path: str) -> Problem:
    """The same problem, `path` being the place of the value that it was found in."""
    separator = "." if problem.path and not problem.path.startswith("[") else ""
    return Problem(f"{path}{separator}{problem.path}", problem.message)


# What a Python program made may hold anything, whatever the annotations say; the rules are for text.
def _head_types(spec: ImageSpec) -> Iterator[Problem]:
    for name in ("name", "registry", "registry_secret", "base", "ref", "python", "dockerignore", "dockerfile"):
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
        sentence = error.sentence.replace(_NOWHERE, "")
        yield Problem(path, f"{sentence} ({error.hint})" if error.hint else sentence)


def _rules(layer: Layer) -> Iterator[Problem]:
    if isinstance(layer, Apt):
        yield from check_apt(layer)
    elif isinstance(layer, Pip):
        yield from check_packages(layer.packages)
        yield from check_length(" ".join(layer.packages), "put the packages into a requirements file")
    elif isinstance(layer, Commands):
        yield from check_commands(layer)
    elif isinstance(layer, Env):
        yield from check_env(layer)
    elif isinstance(layer, (Workdir, Copy, User)):
        yield from check_places(layer)
    elif isinstance(layer, Requirements):
        yield from named(layer.file, "")
    else:
        yield from check_project(layer)
    options = getattr(layer, "options", None)
    if isinstance(options, PipOptions):
        yield from check_options(options)
    yield from check_secrets(getattr(layer, "secrets", ()))
