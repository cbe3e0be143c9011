"""Where a project's modules are imported from, and which files its packages declare as data.

Read from what is on disk: `src` layouts, uv workspaces (`tool.uv.workspace`), package folders of setuptools, and
projects that are installed editable in this environment (PEP 610, `direct_url.json`).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import distributions
from pathlib import Path
from urllib.parse import unquote, urlsplit

from flyte_build.bundler.junk import is_junk
from flyte_build.registry.errors import InvalidTree

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MAX_BYTES = 1 << 20
_ENDINGS = (".py", *EXTENSION_SUFFIXES)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRoot:
    """A folder that is (or must be) on the Python path. `data` are the globs of files that each package declares."""

    folder: Path
    data: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def import_roots(root: Path, entry: Path) -> tuple[ImportRoot, ...]:
    """Every place that modules of the project at `root` (absolute, resolved) may come from, in Python's order.

    First the folder of `entry`, then the project and the members of its workspace (also of one above, that it is a
    member of), then editable installs. Raises InvalidTree for a pyproject.toml of the project that cannot be read.
    """
    projects = [root, *_members(root), *_siblings(root), *_editables()]
    found = {entry.parent: ImportRoot(folder=entry.parent)}
    for project in projects:
        document = _document(project)
        data = _data(document)
        for folder in _folders(project, document):
            if folder not in found or not found[folder].data:
                found[folder] = ImportRoot(folder=folder, data=data)
    return tuple(found.values())


def data_files(folder: Path, glob: str) -> Iterator[Path]:
    """Every file that `glob` means in `folder`: the files it matches, and all below a folder that it matches.

    Raises ValueError for what is no pattern of files there.
    """
    try:
        matches = sorted(folder.glob(glob))
    except NotImplementedError as error:
        raise ValueError(glob) from error
    for match in matches:
        if match.is_dir():
            for at, folders, names in os.walk(match):
                folders[:] = [name for name in folders if not is_junk(name)]
                yield from (Path(at, name) for name in sorted(names))
        else:
            yield Path(os.path.normpath(match))


def regular(portions: list[tuple[Path, ImportRoot]], part: str) -> Iterator[tuple[Path | None, Path, ImportRoot]]:
    """(package folder or None, file, root) of each portion that has `part` as a package or module."""
    for at, root in portions:
        for ending in _ENDINGS:
            if (file := at / part / f"__init__{ending}").is_file():
                yield at / part, file, root
        for ending in _ENDINGS:
            if (file := at / f"{part}{ending}").is_file():
                yield None, file, root


def _folders(project: Path, document: Mapping[str, object]) -> Iterator[Path]:
    """`src` before the project itself: a project with both has its packages in `src`."""
    declared = _table(document, "tool", "setuptools", "packages", "find").get("where")
    base = _table(document, "tool", "setuptools", "package-dir").get("")
    names = [*(declared if isinstance(declared, list) else []), *([base] if isinstance(base, str) else []), "src", "."]
    for name in dict.fromkeys(str(name) for name in names):
        folder = (project / name).resolve()
        if folder.is_dir() and folder.is_relative_to(project):
            yield folder


def _members(root: Path) -> Iterator[Path]:
    """The members of the workspace at `root`, without those that it excludes."""
    workspace = _table(_document(root), "tool", "uv", "workspace")
    excluded = {path.resolve() for glob in _list(workspace.get("exclude")) for path in _glob(root, glob)}
    for glob in _list(workspace.get("members")):
        for path in _glob(root, glob):
            member = path.resolve()
            if (member / "pyproject.toml").is_file() and member not in excluded and member.is_relative_to(root):
                yield member


def _siblings(root: Path) -> tuple[Path, ...]:
    """The members of the nearest workspace above `root`, if that is one of them: as uv finds it."""
    owners = {os.geteuid(), root.stat().st_uid}
    for above in root.parents:
        try:
            # In a folder like /tmp somebody else's file would bring his modules into the bundle.
            if (above / "pyproject.toml").stat().st_uid in owners and "workspace" in _table(
                _document(above), "tool", "uv"
            ):
                members = tuple(_members(above))
                return members if root in members else ()
        except (OSError, InvalidTree):
            continue
    return ()


def _glob(root: Path, glob: str) -> list[Path]:
    try:
        return sorted(root.glob(glob))
    except (ValueError, NotImplementedError) as error:
        raise InvalidTree(f"{root}/pyproject.toml has {glob!r}, which is not a pattern of this workspace") from error


def _editables() -> Iterator[Path]:
    for distribution in distributions():
        text = distribution.read_text("direct_url.json")
        if not text or '"editable"' not in text:
            continue
        try:
            document = json.loads(text)
            url = document["url"] if document["dir_info"]["editable"] is True else ""
        except (ValueError, KeyError, TypeError):
            continue
        parts = urlsplit(str(url))
        folder = Path(unquote(parts.path))
        if parts.scheme == "file" and folder.is_dir():
            yield folder.resolve()


def _data(document: Mapping[str, object]) -> Mapping[str, tuple[str, ...]]:
    """What `tool.setuptools.package-data` and `tool.flyte-build.package-data` say: globs by package, `*` for all."""
    found: dict[str, tuple[str, ...]] = {}
    for tool in ("setuptools", "flyte-build"):
        for package, globs in _table(document, "tool", tool, "package-data").items():
            found[package or "*"] = (*found.get(package or "*", ()), *_list(globs))
    return found


def _document(project: Path) -> Mapping[str, object]:
    path = project / "pyproject.toml"
    try:
        with path.open("rb") as file:
            document: dict[str, object] = tomllib.loads(file.read(_MAX_BYTES).decode())
            return document
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise InvalidTree(f"{path} cannot be read: {error}") from error


def _table(document: Mapping[str, object], *keys: str) -> Mapping[str, object]:
    for key in keys:
        inner = document.get(key)
        document = inner if isinstance(inner, dict) else {}
    return document


def _list(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
