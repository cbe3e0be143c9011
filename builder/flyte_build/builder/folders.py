"""A folder of the user's -> file tree: what is copied, what is junk. The one importer of pathspec, slow to load."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pathspec

from flyte_build.builder.files import FileSet
from flyte_build.builder.plan import FileTree, PlanFile
from flyte_build.registry.errors import InvalidInput

# Never part of an image: what tools leave beside source. The README lists them.
JUNK = (
    ".git",
    ".hg",
    ".svn",
    "__pycache__",
    "*.pyc",
    "*.pyo",
    ".DS_Store",
    ".venv",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".ipynb_checkpoints",
)


def read(
    folder: Path,
    files: FileSet,
    *,
    prefix: str = "",
    ignore: tuple[str, ...] = (),
    skip: Callable[[Path], bool] = lambda _: False,
) -> FileTree:
    """Everything below `folder` except junk, `ignore` (gitignore patterns) and files that `skip` names, under `prefix`.

    Links are kept as links; one that points out of the folder is refused, and so are devices, sockets and pipes
    (InvalidInput). Empty folders are kept, unless what is in them was left out.
    """
    root = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow the links we keep
    found: list[PlanFile] = []
    empty: list[str] = []
    for path, name in _walk(root, _left_out(ignore)):
        if skip(path):
            continue
        full = str(PurePosixPath(prefix, name))
        if path.is_symlink():
            found.append(PlanFile(path=full, link=_link_target(root, path)))
        elif path.is_dir():
            empty.append(full)
        elif path.is_file():
            found.append(files.add(path, full))
        else:
            raise InvalidInput(f"{path} is neither a file, a folder nor a link", hint="leave it out by `ignore`")
    if not found and not empty:
        empty = [prefix]
    return FileTree(files=tuple(sorted(found, key=lambda file: file.path)), folders=tuple(sorted(empty)))


def _left_out(ignore: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether a path (a folder's with a slash at its end) is junk or ignored; no `!pattern` brings junk back."""
    for pattern in ignore:
        try:
            pathspec.GitIgnoreSpec.from_lines([pattern])
        except ValueError as error:
            raise InvalidInput(f"{pattern!r} is not a gitignore pattern") from error
    junk, ignored = pathspec.GitIgnoreSpec.from_lines(JUNK), pathspec.GitIgnoreSpec.from_lines(ignore)
    return lambda name: junk.match_file(name) or ignored.match_file(name)


def _walk(root: Path, left_out: Callable[[str], bool]) -> Iterator[tuple[Path, str]]:
    """Files, links and empty folders, each with its path below `root`."""
    waiting = [""]
    while waiting:
        below = waiting.pop()
        entries = _entries(root / below)
        if not entries and below:
            yield root / below, below
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                waiting += [name] if not left_out(f"{name}/") else []
            elif not left_out(name):
                yield root / name, name


def _entries(folder: Path) -> list[os.DirEntry[str]]:
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
