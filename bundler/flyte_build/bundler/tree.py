"""From folders to a manifest: walk them, decide what is in, hash what is not remembered.

A tree is one folder, or several whose contents are laid over each other (`also`): the roots of a workspace.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from flyte_build.bundler.collector import uncollected
from flyte_build.bundler.hashing import hash_files
from flyte_build.bundler.ignore import Only
from flyte_build.bundler.limits import MIB, BundleLimits
from flyte_build.bundler.manifest import Entry, Manifest
from flyte_build.bundler.memory import Memory, Remembered, Row, Summary, TreeMemory, signature
from flyte_build.bundler.refusals import refuse_secrets, too_large
from flyte_build.bundler.walk import Folder, Walk, walk
from flyte_build.registry.errors import InvalidTree
from flyte_build.registry.names import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTree:
    """What to bundle: `root`, and the folders `also` laid over it.

    `include` are globs that win over every ignore rule, `without` paths that are never in; `only`, one for each
    folder, restricts them to the files that it names.
    """

    root: Path
    also: tuple[Path, ...] = ()
    include: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    only: tuple[Only, ...] = ()
    limits: BundleLimits = BundleLimits()

    @property
    def folders(self) -> tuple[Folder, ...]:
        """What to walk, the root first. Exceptions are the root's; includes hold in every folder that was asked for."""
        only = self.only or (None,) * (1 + len(self.also))
        first = Folder(root=self.root, include=self.include, without=self.without, only=only[0], limits=self.limits)
        # Folders that an entry point brings along are somebody else's project: only what is imported is wanted there.
        include = () if self.only else self.include
        rest = (
            Folder(root=at, include=include, only=said, limits=self.limits)
            for at, said in zip(self.also, only[1:], strict=True)
        )
        return (first, *rest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What is in: its name, counts (files and links; bytes), and notes for the person about what was skipped.

    `manifest` and `homes` are made when they are asked for: a tree that is as it was needs neither.
    """

    digest: Digest
    files: int
    size: int
    notes: tuple[str, ...] = ()
    _content: _Content = field(repr=False)

    @property
    def manifest(self) -> Manifest:
        """Every entry."""
        return self._content.manifest

    @property
    def homes(self) -> Mapping[str, Path]:
        """The folder of each file that is not below the tree's own root."""
        return self._content.homes


def list_tree(tree: SourceTree, memory: Memory | None = None) -> Listing:
    """What is in `tree`; files that `memory` knows by their status are not read again.

    Raises InvalidTree for a root that cannot be meant (missing, the home folder, `/`), an empty tree, a link that
    leaves the tree, a likely secret that was not included by name, an unreadable file, a file that changes while it
    is read, two folders that disagree about a path, and a tree over its limits, naming the ten largest files.
    """
    with uncollected():
        return _list(tree, (memory or Memory()), time.time_ns())


def _list(tree: SourceTree, memory: Memory, began: int) -> Listing:
    walks = [walk(folder) for folder in tree.folders]
    _check(tree, walks)
    idle = walks[0].rules.includes.idle(path for one in walks for path in one.files.paths)
    unmatched = (f"--include {glob} matches nothing" for glob in idle)
    notes = (*(note for one in walks for note in one.files.notes), *unmatched)
    kept = memory.of_tree([one.root for one in walks], tree.include)
    sign, content = signature(walks), _Content(walks, kept)
    summary = kept.unchanged(sign)
    if summary is None:
        made = content.manifest
        count, size = len(made.entries), made.total_bytes
        summary = Summary(signature=sign, digest=made.digest, files=count, size=size)
        kept.keep(summary, content.rows, began)
    return Listing(digest=summary.digest, files=summary.files, size=summary.size, notes=notes, _content=content)


class _Content:
    """What the files of some walks hold, read when it is first asked for."""

    def __init__(self, walks: Sequence[Walk], kept: TreeMemory) -> None:
        self._walks = walks
        self._kept = kept

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """A row for every file, remembered or read."""
        known = self._kept.files()
        return tuple(row for home, one in enumerate(self._walks) for row in _rows(home, one, known))

    @cached_property
    def manifest(self) -> Manifest:
        """All entries; where folders have the same path, they must agree about it."""
        entries: dict[str, Entry] = {}
        for home, one in enumerate(self._walks):
            for entry in (*one.files.links, *(row.entry for row in self.rows if row.home == home)):
                if entries.setdefault(entry.path, entry) != entry:
                    raise InvalidTree(
                        f"{entry.path} is in {one.root} and, with other content, in another folder of this bundle",
                        hint="rename one, or leave it out by a line in .flyteignore",
                    )
        return Manifest.of(entries.values())

    @cached_property
    def homes(self) -> Mapping[str, Path]:
        """Where each file is that is not below the first folder."""
        return {row.entry.path: self._walks[row.home].root for row in reversed(self.rows) if row.home}


def _rows(home: int, one: Walk, known: Remembered) -> Iterator[Row]:
    rows = [(found, known.row(home, found)) for found in one.files]
    fresh = [found for found, row in rows if row is None]
    read = iter(hash_files(one.root, fresh, one.rules.includes.name_exactly))
    return (row or Row(home, *next(read)) for _, row in rows)


def _check(tree: SourceTree, walks: Sequence[Walk]) -> None:
    if secrets := [secret for one in walks for secret in one.files.secrets]:
        raise refuse_secrets(secrets)
    count, total, limits = sum(len(one.files) for one in walks), sum(one.files.size for one in walks), tree.limits
    if not count and not any(one.files.links for one in walks):
        raise InvalidTree(f"{tree.root} has nothing to bundle", hint="see why with --dry-run --explain PATH")
    if total > limits.tree_bytes or count > limits.files:
        files = (found for one in walks for found in one.files)
        largest = sorted(files, key=lambda found: (-found.size, found.path))[:10]
        raise too_large(
            f"{tree.root} has {count} files of together {total / MIB:.0f} MiB, more than a bundle may have "
            f"({limits.files} files, {limits.tree_bytes / MIB:.0f} MiB)",
            [(found.path, found.size) for found in largest],
        )
