"""A folder of the user's -> file tree: what is copied, what is junk. The one importer of pathspec."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from flyte_build.builder.files import FileSet
from flyte_build.builder.plan import FileTree, PlanFile
from flyte_build.registry.errors import InvalidInput

# Never part of an image: what tools leave beside source. The README lists them.
JUNK = frozenset(
    {".git", ".hg", ".svn", "__pycache__", ".DS_Store", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
    | {".ipynb_checkpoints"}
)
JUNK_ENDINGS = (".pyc", ".pyo")
# What is in a folder that `flyte-build serve` or `worker` keeps its state in: others' uploads, and its secret.
STATE_MARK = ".flyte-build-state"


def read(
    folder: Path,
    files: FileSet,
    *,
    prefix: str = "",
    ignore: tuple[str, ...] = (),
    skip: Callable[[Path], bool] | None = None,
) -> FileTree:
    """Everything below `folder` except junk, `ignore` (gitignore patterns) and files that `skip` names, under `prefix`.

    Links are kept as links; one that points out of the folder is refused, and so are devices, sockets and pipes
    (InvalidInput). Empty folders are kept, unless what is in them was left out.
    """
    root = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow the links we keep
    found: list[PlanFile] = []
    empty: list[str] = []
    below = f"{PurePosixPath(prefix)}/" if prefix else ""
    for entry, name in _walk(str(root), _left_out(ignore)):
        path = Path(entry.path)
        if skip is not None and skip(path):
            continue
        if entry.is_symlink():
            found.append(PlanFile(path=below + name, link=_link_target(root, path)))
        elif entry.is_dir():
            empty.append(below + name)
        elif entry.is_file():
            found.append(files.add(path, below + name))
        else:
            raise InvalidInput(f"{path} is neither a file, a folder nor a link", hint="leave it out by `ignore`")
    if not found and not empty:
        empty = [prefix]
    return FileTree(files=tuple(sorted(found, key=lambda file: file.path)), folders=tuple(sorted(empty)))


def _left_out(ignore: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether a path (a folder's with a slash at its end) is ignored."""
    if not ignore:
        return lambda _: False
    # Slow to load, and most copies ignore nothing.
    import pathspec

    for pattern in ignore:
        try:
            pathspec.GitIgnoreSpec.from_lines([pattern])
        except ValueError as error:
            raise InvalidInput(f"{pattern!r} is not a gitignore pattern") from error
    return pathspec.GitIgnoreSpec.from_lines(ignore).match_file


def _is_junk(name: str) -> bool:
    """Whatever the patterns say: no `!pattern` brings it back."""
    return name in JUNK or name.endswith(JUNK_ENDINGS)


def _walk(root: str, left_out: Callable[[str], bool]) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Files, links and empty folders, each with its path below `root`."""
    waiting: list[tuple[str, str, os.DirEntry[str] | None]] = [(root, "", None)]
    while waiting:
        folder, below, own = waiting.pop()
        entries = _entries(folder)
        if own is not None and any(entry.name == STATE_MARK for entry in entries):
            continue
        if not entries and own is not None:
            yield own, below.rstrip("/")
        for entry in entries:
            name = below + entry.name
            if _is_junk(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting += [(entry.path, f"{name}/", entry)] if not left_out(f"{name}/") else []
            elif not left_out(name):
                yield entry, name


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be read: {error.strerror}") from error


def _link_target(root: Path, link: Path) -> str:
    target = os.readlink(link)  # noqa: PTH115 - Path.readlink folds `a/./b`, which is another link
    landing = Path(os.path.normpath(link.parent / target))
    if Path(target).is_absolute() or not landing.is_relative_to(root):
        raise InvalidInput(
            f"{link} links to {target}, outside of {root}",
            hint="copy the file in, or leave the link out by `ignore`",
        )
    return target
