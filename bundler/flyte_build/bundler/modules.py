"""What an entry point needs: the modules of the project that it imports, theirs in turn, and the data they declare.

Found by reading, not by running: the same source gives the same bundle, whatever happens to be imported. Modules that
are in no folder of the project are somebody else's and belong into the image.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flyte_build.bundler.ignore import Only
from flyte_build.bundler.imports import Asks, Wanted, read_asks
from flyte_build.bundler.projects import ImportRoot, data_files, import_roots, regular
from flyte_build.bundler.root import checked_root
from flyte_build.registry.errors import InvalidTree

_MAX_SOURCE = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What an entry point needs.

    `also` are folders outside of the root that some of it comes from; `only` says, for the root and each of them, which
    files; `paths` are the folders of the bundle that must be on the Python path besides its top.
    """

    also: tuple[Path, ...]
    only: tuple[Only, ...]
    paths: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Module:
    """A file and the name that it is imported by; `package` is its `__package__`."""

    file: Path
    package: str
    root: ImportRoot


@dataclass(slots=True, kw_only=True)
class _Search:
    """What was found so far, each file with why."""

    top: Path
    roots: tuple[ImportRoot, ...]
    files: dict[Path, str] = field(default_factory=dict)
    used: dict[Path, ImportRoot] = field(default_factory=dict)
    queue: deque[_Module] = field(default_factory=deque)
    notes: list[str] = field(default_factory=list)


def find_needs(root: Path, entry: Path) -> Needs:
    """What the file `entry` (absolute, or relative to `root`) needs.

    Raises InvalidTree when it is not a Python file below `root`, or cannot be parsed.
    """
    top = checked_root(root)
    file = (top / entry).resolve()
    if not file.is_file() or not file.is_relative_to(top):
        raise InvalidTree(f"the entry point {entry} is not a file in {root}", hint="give a path relative to the folder")
    search = _Search(top=top, roots=import_roots(top, file))
    module = _entry(search, file)
    if module.package:
        _find(search, module.package, "the entry point is in it")
    _note(search, module, "it is the entry point")
    while search.queue:
        _follow(search, search.queue.popleft(), file)
    return _needs(search, top)


def _entry(search: _Search, file: Path) -> _Module:
    """The entry point as a module of the deepest root above it, so that its relative imports mean something."""
    above = [root for root in search.roots if file.parent.is_relative_to(root.folder) and root.folder != file.parent]
    root = max(above, key=lambda one: len(one.folder.parts), default=search.roots[0])
    return _Module(file, ".".join(file.parent.relative_to(root.folder).parts), root)


def _needs(search: _Search, top: Path) -> Needs:
    homes: dict[Path, dict[str, str]] = {top: {}}
    for file, why in search.files.items():
        home = next((at for at in (top, *search.used) if file.is_relative_to(at)), None)
        if home:
            homes.setdefault(home, {}).update((path, why) for path in _real(file, home))
    inside, *outside = homes.values()
    paths = (at.relative_to(top).as_posix() for at in search.used if at.is_relative_to(top) and at != top)
    return Needs(
        also=tuple(homes)[1:],
        only=(Only(files=inside), *(Only(files=files) for files in outside)),
        paths=tuple(sorted(paths)),
        notes=tuple(search.notes),
    )


def _real(file: Path, home: Path) -> Iterator[str]:
    """Paths below `home` that make `file` readable there: itself, and every link on its way."""
    at = home
    for part in file.relative_to(home).parts:
        at = at / part
        if at.is_symlink() and at.is_relative_to(home):
            yield at.relative_to(home).as_posix()
            at = at.resolve()
    if at.is_relative_to(home):
        yield at.relative_to(home).as_posix()


def _follow(search: _Search, module: _Module, entry: Path) -> None:
    asks = _asks(search, module, entry)
    shown = _shown(search, module)
    for wanted in asks.modules:
        why = f"{shown}, line {wanted.line}, imports {wanted.name}"
        for found in _find(search, wanted.name, why):
            if wanted.star:
                _follow_star(search, found, wanted)
    for name in asks.resources:
        for found in _find(search, name, f"{shown} reads files of {name}"):
            _take_data(search, found.file.parent, ("*",), f"{shown} reads files of {name}")
    _take_data(search, module.file.parent, asks.files, f"{shown} includes it in its environment")
    search.notes.extend(
        f"{shown}, line {line}, imports a module by a name that only a run can tell; name it with --include if it is "
        "the project's"
        for line in asks.unknown
    )


def _asks(search: _Search, module: _Module, entry: Path) -> Asks:
    if module.file.suffix != ".py":
        return Asks()
    try:
        with module.file.open("rb") as reader:
            return read_asks(reader.read(_MAX_SOURCE), module.package)
    except OSError as error:
        raise InvalidTree(f"{module.file} cannot be read: {error.strerror}") from error
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f", line {error.lineno}," if isinstance(error, SyntaxError) else ""
        if module.file == entry:
            raise InvalidTree(f"the entry point {module.file.name}{line} is not Python: {error.args[0]}") from error
        search.notes.append(f"{_shown(search, module)}{line} is not Python, so what it imports is not followed")
        return Asks()


def _shown(search: _Search, module: _Module) -> str:
    file = module.file
    return file.relative_to(search.top).as_posix() if file.is_relative_to(search.top) else file.name


def _follow_star(search: _Search, module: _Module, wanted: Wanted) -> None:
    for name in _asks(search, module, Path()).exported:
        why = f"line {wanted.line} imports all of {wanted.name}"
        for _ in _find(search, f"{wanted.name}.{name}", why):
            pass


def _find(search: _Search, name: str, why: str) -> list[_Module]:
    """Notes the files that importing `name` runs; the module itself, unless it is not the project's."""
    portions = [(root.folder, root) for root in search.roots]
    parts = name.split(".")
    for depth, part in enumerate(parts, 1):
        package = ".".join(parts[:depth])
        found = next(regular(portions, part), None)
        if found is not None:
            folder, file, root = found
            module = _Module(file, package if folder else ".".join(parts[: depth - 1]), root)
            _note(search, module, why)
            if folder is not None:
                _take_declared(search, folder, package, root)
            if depth == len(parts):
                return [module]
            if folder is None:
                return []
            portions = [(folder, root)]
        else:
            # A namespace package (PEP 420) has a portion in every root that has such a folder.
            portions = [(at / part, root) for at, root in portions if (at / part).is_dir()]
    return []


def _note(search: _Search, module: _Module, why: str) -> None:
    search.used.setdefault(module.root.folder, module.root)
    if module.file not in search.files:
        search.files[module.file] = why
        search.queue.append(module)


def _take_declared(search: _Search, folder: Path, package: str, root: ImportRoot) -> None:
    globs = (*root.data.get("*", ()), *root.data.get(package, ()), "py.typed")
    _take_data(search, folder, globs, f"{package} declares it as its data")


def _take_data(search: _Search, folder: Path, globs: tuple[str, ...], why: str) -> None:
    for glob in globs:
        try:
            for file in data_files(folder, glob):
                search.files.setdefault(file, why)
        except ValueError:
            search.notes.append(f"{glob!r} is not a pattern of files below {folder.name}")
