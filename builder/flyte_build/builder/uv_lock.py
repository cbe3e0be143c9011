"""`uv.lock` and the `pyproject.toml` that it was made for: do they agree, and where does the lock point. Pure.

uv's own `uv lock --check` may run the project's code and ask its index; a service must do neither for a stranger.
What is compared is what uv writes down for that purpose: `[package.metadata]` of the project in the lock.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from flyte_build.registry.errors import InvalidInput

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Table = Mapping[str, Any]


def public_index() -> str:
    """The URL of the index that pip and uv ask when nothing is configured; pip is the one who knows it."""
    from pip._internal.models.index import PyPI

    return str(PyPI.simple_url).rstrip("/")


def parse(text: str, what: str) -> dict[str, Any]:
    """A TOML document; InvalidInput calls it `what` when it is none."""
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInput(f"{what} is not TOML: {error}") from error
    return document


def table(document: object, *keys: str) -> dict[str, Any]:
    """A table inside tables, empty when there is none."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def items(value: object) -> list[Any]:
    """A list, empty for anything else."""
    return value if isinstance(value, list) else []


def indexes(lock: Table) -> tuple[str, ...]:
    """The package indexes that the lock took packages from, other than PyPI; InvalidInput for a folder."""
    found = {table(package, "source").get("registry") for package in items(lock.get("package"))}
    urls = sorted(url for url in found if isinstance(url, str) and url.rstrip("/") != public_index())
    for url in urls:
        if not url.startswith(("https://", "http://")):
            raise InvalidInput(f"uv.lock takes packages from the folder {url!r}", hint="use an index or `wheels`")
    return tuple(urls)


def local_paths(lock: Table) -> tuple[str, ...]:
    """Every path of the machine that the lock names, relative to the project."""
    sources = [table(package, "source") for package in items(lock.get("package"))]
    kinds = ("editable", "directory", "virtual", "path")
    return tuple(str(source[kind]) for source in sources for kind in kinds if kind in source)


def disagreements(project: Table, lock: Table) -> Iterator[str]:
    """What the project asks for and the lock was not made for, and the other way round, as sentences."""
    head = table(project, "project")
    name = head.get("name")
    if not isinstance(name, str):
        return
    package = _package(lock, name)
    if package is None:
        yield f"uv.lock does not know the project {name!r}"
        return
    if lock.get("requires-python") and "requires-python" in head and not table(lock, "manifest"):
        wanted, locked = _specifiers(head["requires-python"]), _specifiers(lock["requires-python"])
        if wanted != locked:
            yield f"pyproject.toml wants Python {wanted}, and uv.lock is for {locked}"
    dynamic = items(head.get("dynamic"))
    if not {"dependencies", "optional-dependencies"} & set(map(str, dynamic)):
        metadata = table(package, "metadata")
        yield from _difference(_asked(head), _locked(items(metadata.get("requires-dist"))), "")
        yield from _groups(project, table(metadata, "requires-dev"))


def _package(lock: Table, name: str) -> dict[str, Any] | None:
    wanted = canonicalize_name(name)
    for package in items(lock.get("package")):
        local = {"editable", "virtual", "directory"} & set(table(package, "source"))
        if local and canonicalize_name(str(table(package).get("name"))) == wanted:
            return table(package)
    return None


_Set = set[tuple[str, frozenset[str], str]]


def _asked(head: Table) -> _Set:
    texts = [*items(head.get("dependencies"))]
    for extra in table(head, "optional-dependencies").values():
        texts += items(extra)
    return {_requirement(text) for text in texts}


def _groups(project: Table, locked: Table) -> Iterator[str]:
    groups = {canonicalize_name(name): value for name, value in table(project, "dependency-groups").items()}
    known = {canonicalize_name(name): value for name, value in locked.items()}
    for name in sorted(groups):
        texts = items(groups[name])
        if all(isinstance(text, str) for text in texts):  # what a group includes is compared in its own place
            asked = {_requirement(text) for text in texts}
            yield from _difference(asked, _locked(items(known.get(name))), f" in the group {name!r}")


def _difference(asked: _Set, locked: _Set, where: str) -> Iterator[str]:
    names = {one[0] for one in locked}
    for name, _, specifier in sorted(asked - locked, key=str):
        said = "an older" if name in names else "no"
        yield f"pyproject.toml asks for {name}{specifier}{where}, and uv.lock was made for {said} request of it"
    for name, _, specifier in sorted(locked - asked, key=str):
        if name not in {one[0] for one in asked}:
            yield f"uv.lock was made for {name}{specifier}{where}, which pyproject.toml does not ask for"


def _requirement(text: object) -> tuple[str, frozenset[str], str]:
    try:
        found = Requirement(str(text))
    except InvalidRequirement as error:
        raise InvalidInput(f"pyproject.toml asks for {text!r}, which is no PEP 508 requirement") from error
    return canonicalize_name(found.name), frozenset(map(canonicalize_name, found.extras)), str(found.specifier)


def _locked(entries: list[Any]) -> _Set:
    return {
        (
            canonicalize_name(str(entry.get("name"))),
            frozenset(canonicalize_name(str(extra)) for extra in items(entry.get("extras"))),
            str(_specifiers(entry.get("specifier", ""))),
        )
        for entry in entries
        if isinstance(entry, dict)
    }


def _specifiers(text: object) -> SpecifierSet:
    from packaging.specifiers import InvalidSpecifier

    try:
        return SpecifierSet("" if text == "*" else str(text))
    except InvalidSpecifier as error:
        raise InvalidInput(f"{text!r} is not a version specifier (PEP 440)") from error
