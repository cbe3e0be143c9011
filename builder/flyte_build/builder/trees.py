"""Files of a build by content: what a digest is made of and what a context holds. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from flyte_build.builder.canonical import digest_of
from flyte_build.registry.names import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFile:
    """A file that enters the image or a step: path in its tree (posix, relative), content, and how it is run.

    `link` is the target of a symbolic link; then `sha256` is empty and `size` 0.
    """

    path: str
    executable: bool = False
    sha256: str = ""
    size: int = 0
    link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTree:
    """Files of one layer, sorted by path. Empty folders are listed with a trailing slash in `folders`."""

    files: tuple[PlanFile, ...] = ()
    folders: tuple[str, ...] = ()

    @property
    def digest(self) -> Digest:
        """sha256 of the tree's canonical encoding; names its place in the context."""
        return digest_of(self)


def tree_folder(tree: FileTree) -> str:
    """The place of a tree in a context (posix, relative).

    Named by content, so that BuildKit, which compares files by size and timestamp between builds, can never
    take an older tree for this one.
    """
    return f"trees/{tree.digest.hex[:32]}"


def is_folder(to: str) -> bool:
    """Whether a target can only be a folder; a file that is copied to another one may become it, or go into it."""
    return to == "." or to.endswith("/")
