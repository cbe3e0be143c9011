"""The tree in the docstring is the tree in the code."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import flyte_build
from flyte_build.registry import errors
from flyte_build.registry.errors import FlyteBuildError, InvalidSpec, Problem, RegistryUnavailable


def _drawn() -> dict[str, int]:
    lines = (errors.__doc__ or "").splitlines()
    found = (re.match(r"    ([│├└─ ]*)([A-Z]\w+)(?:\s|$)", line) for line in lines)
    return {match.group(2): len(match.group(1)) // 4 for match in found if match}


def _parents(drawn: dict[str, int]) -> dict[str, str]:
    path: list[str] = []
    parents = {}
    for name, depth in drawn.items():
        path[depth:] = [name]
        parents[name] = path[depth - 1] if depth else ""
    return parents


def _all_subclasses(kind: type[FlyteBuildError]) -> set[type[FlyteBuildError]]:
    return {kind}.union(*(_all_subclasses(child) for child in kind.__subclasses__()))


def _modules() -> list[str]:
    # pkgutil does not see packages without __init__.py, and ours have none.
    roots = [Path(root) for root in flyte_build.__path__]
    files = [
        (file, root)
        for root in roots
        for file in root.rglob("*.py")
        if file.name != "__main__.py" and "migrations" not in file.parts
    ]
    parts = [file.relative_to(root.parent).with_suffix("").parts for file, root in files]
    return sorted({".".join(part[:-1] if part[-1] == "__init__" else part) for part in parts})


def test_the_docstring_draws_every_error_of_every_package_under_its_parent() -> None:
    modules = _modules()
    assert {name.split(".")[1] for name in modules} >= {"registry", "builder", "bundler", "worker"}
    for name in modules:
        importlib.import_module(name)
    real = {
        kind.__name__: kind.__base__.__name__ if kind is not FlyteBuildError and kind.__base__ else ""
        for kind in _all_subclasses(FlyteBuildError)
        if kind.__module__.startswith("flyte_build.") and not kind.__name__.startswith("_")
    }
    assert _parents(_drawn()) == real


def test_every_error_is_one_sentence_and_a_hint() -> None:
    error = RegistryUnavailable("cannot reach ghcr.io: refused", hint="try later")
    assert (str(error), error.sentence, error.hint, error.transient) == (
        "cannot reach ghcr.io: refused",
        "cannot reach ghcr.io: refused",
        "try later",
        True,
    )


def test_a_spec_with_several_problems_lists_each_with_its_path() -> None:
    error = InvalidSpec("image.toml", (Problem("layers[0].pip", "is empty"), Problem("", "has no base")))
    assert str(error) == "image.toml has 2 problems:\n  - layers[0].pip: is empty\n  - has no base"
