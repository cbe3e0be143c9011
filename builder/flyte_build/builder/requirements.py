"""Requirement files and the files they include (pip's "Requirements File Format": `-r`, `-c`)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from flyte_build.builder.files import FileSet
from flyte_build.builder.plan import FileTree
from flyte_build.registry.errors import InvalidInput

_INCLUDE = re.compile(r"\s*(?:-r|-c|--requirement|--constraint)(?:\s+|=|(?<=-[rc]))(?P<file>[^\s#]+)")
# As pip takes it (`COMMENT_RE`): a `#` inside a URL is none.
_COMMENT = re.compile(r"(^|\s+)#.*$")
_LIMIT = 16 << 20


def read(file: Path, files: FileSet) -> tuple[FileTree, str]:
    """The tree of `file` and everything it includes, and the path of `file` in it.

    Paths in the tree are relative to the folder that holds them all, so that includes resolve inside the build as
    they do outside. Raises InvalidInput as `included`.
    """
    found = included(file)
    root = Path(os.path.commonpath([path.parent for path in found]))
    entries = [files.made(meaning(_text(path, "")), _name(path, root)) for path in found]
    return FileTree(files=tuple(sorted(entries, key=lambda entry: entry.path))), _name(found[0], root)


def meaning(text: str) -> str:
    """A requirements file without comments and empty lines, which change nothing that is installed.

    A line that is continued, or continues one, stays as it is.
    """
    kept, inside = [], False
    for line in text.splitlines():
        continued = line.endswith("\\")
        bare = line if inside or continued else _COMMENT.sub("", line).strip()
        if bare:
            kept.append(bare)
        inside = continued
    return "".join(f"{line}\n" for line in kept)


def included(file: Path, *, within: Path | None = None) -> tuple[Path, ...]:
    """`file` and every file that it includes, absolute, each once, `file` first.

    Raises InvalidInput for a file that is missing, too large, not text, or included by an absolute path, which would
    be another file inside the build; and, before it is looked at, for one that is not in the folder `within`.
    """
    found: dict[Path, None] = {}
    wrong: list[InvalidInput] = []
    waiting: list[tuple[Path, str]] = [(file, "")]
    while waiting:
        path, where = waiting.pop()
        # As pip resolves an include: against the folder of the name that was written, not of what that links to.
        path = Path(os.path.abspath(path))  # noqa: PTH100
        if path in found:
            continue
        if within is not None:
            contained(path, within)
        found[path] = None
        try:
            waiting += [(path.parent / name, f", included by {path.name!r}") for name in _includes(path, where)]
        except InvalidInput as error:
            wrong.append(error)
    if wrong:
        raise InvalidInput("; ".join(error.sentence for error in wrong), hint=wrong[0].hint)
    return tuple(found)


def contained(file: Path, folder: Path) -> None:
    """Raises InvalidInput when `file` is not in `folder`, links followed."""
    try:
        inside = file.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError) as error:
        raise InvalidInput(f"{file.name!r} cannot be found") from error
    if not inside:
        raise InvalidInput(f"{file.name!r} leads out of {folder.name!r}")


def _includes(path: Path, where: str) -> Iterator[str]:
    for line in _text(path, where).splitlines():
        match = _INCLUDE.match(line)
        if match is None or "://" in match["file"]:
            continue
        if "\0" in match["file"] or PurePosixPath(match["file"]).is_absolute():
            raise InvalidInput(
                f"the requirements file {path.name!r} includes {match['file']!r}; write a path relative to it"
            )
        yield match["file"]


def _text(path: Path, where: str) -> str:
    if not path.is_file():
        if path.is_dir():
            raise InvalidInput(f"the requirements file {path.name!r}{where} is a folder", hint="name a file")
        hint = "paths are relative to the file that names them"
        raise InvalidInput(f"the requirements file {path.name!r}{where} does not exist", hint=hint)
    if path.stat().st_size > _LIMIT:
        raise InvalidInput(f"the requirements file {path.name!r}{where} is larger than 16 MiB", hint="split it")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"the requirements file {path.name!r}{where} is not UTF-8 text", hint="save it as UTF-8"
        ) from error


def _name(path: Path, root: Path) -> str:
    return str(PurePosixPath(path.relative_to(root)))
