"""What can be wrong with a tree of files that somebody else names: it is going to be written to disk. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from flyte_build.builder.trees import FileTree, PlanFile
from flyte_build.registry.errors import Problem

_SHA256 = re.compile(r"[0-9a-f]{64}")
# Of the file systems that it comes from; PATH_MAX is 4096 bytes, and the place that it is written to is before it.
_LONGEST_PATH, _LONGEST_NAME, _DEEPEST = 3000, 255, 100


def check_tree(tree: FileTree) -> Iterator[Problem]:
    """Paths stay below the tree, are sorted and each there once; nothing lies below a file or a link."""
    for paths in ([file.path for file in tree.files], list(tree.folders)):
        if paths != sorted(set(paths)):
            yield Problem("tree", "its paths are not sorted, each once")
    leaves = {file.path for file in tree.files}
    for path in sorted(leaves.intersection(tree.folders)):
        yield Problem("tree", f"{path[:80]!r} is a file and a folder")
    for path in (*leaves, *filter(None, tree.folders)):
        yield from _path(path, leaves)
    for file in tree.files:
        yield from _file(file)


def _path(path: str, leaves: set[str]) -> Iterator[Problem]:
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in path:
        yield Problem("tree", f"{path[:80]!r} is not a path below it")
    elif (
        len(parts) > _DEEPEST
        or len(path) > _LONGEST_PATH
        or any(len(part.encode(errors="replace")) > _LONGEST_NAME for part in parts)
    ):
        yield Problem("tree", f"{path[:80]!r} is too long for a path")
    elif any("/".join(parts[:end]) in leaves for end in range(1, len(parts))):
        yield Problem("tree", f"{path[:80]!r} lies below something that is no folder")


def _file(file: PlanFile) -> Iterator[Problem]:
    if file.link is None:
        if not _SHA256.fullmatch(file.sha256) or file.size < 0:
            yield Problem("tree", f"{file.path[:80]!r} has no SHA-256 or no size")
        return
    landing = posixpath.normpath(posixpath.join(posixpath.dirname(file.path), file.link))
    outside = file.link.startswith("/") or landing == ".." or landing.startswith("../")
    if file.sha256 or file.size or file.executable or not file.link or "\0" in file.link or outside:
        yield Problem("tree", f"{file.path[:80]!r} is not a link to something in it")
