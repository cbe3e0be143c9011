"""The walk: which files of a folder are in, by the rules, with their status. Nothing is opened but ignore files.

Links are recorded and never followed. Sockets, pipes and devices have no content to carry and are skipped with a
note. Folders are not in a manifest, so empty ones do not travel, as in git.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from flyte_build.bundler.git import find_repository, find_tracked, outer_level, read_patterns
from flyte_build.bundler.ignore import KEPT, Level, Only, Rules, Verdict
from flyte_build.bundler.includes import Includes
from flyte_build.bundler.junk import VENV_MARK, is_junk, may_be_secret, secret_by_name
from flyte_build.bundler.limits import BundleLimits
from flyte_build.bundler.manifest import Entry, link_fault
from flyte_build.bundler.refusals import LEAVE_OUT
from flyte_build.bundler.root import checked_root
from flyte_build.registry.errors import InvalidTree

_MARKS = frozenset({".flyteignore", ".gitignore", VENV_MARK})


class Found(NamedTuple):
    """A regular file: `path` relative to the root, and the status that tells whether it has changed.

    A tuple, because a tree has hundreds of thousands of them. Times are nanoseconds since 1970.
    """

    path: str
    size: int
    mtime: int
    ctime: int
    inode: int
    mode: int

    @classmethod
    def of(cls, path: str, status: os.stat_result) -> Found:
        """What `status` says of `path`."""
        inode = status.st_ino & 0x7FFF_FFFF_FFFF_FFFF
        return cls(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, inode, status.st_mode)


@dataclass(slots=True, kw_only=True)
class Walk:
    """What was found below `root`: files and links in a fixed order, likely secrets by name, notes for a person."""

    root: Path
    rules: Rules
    outer: Level
    limits: BundleLimits
    notes: list[str]
    files: list[Found] = field(default_factory=list)
    links: list[Entry] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """One folder to walk, and what was asked for there. `only`, if given, are the files that are in by themselves."""

    root: Path
    include: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    only: Only | None = None
    limits: BundleLimits = BundleLimits()


def walk(folder: Folder) -> Walk:
    """Everything that is in. Raises InvalidTree for a root, a link, a path or a folder that cannot be bundled."""
    found = _start(folder)
    # A stack and not recursion: a hostile depth ends in a sentence.
    stack = [("", found.outer, KEPT)]
    while stack:
        path, level, verdict = stack.pop()
        entries = _scan(found, path)
        level = _enter(found, path, level, entries)
        prefix = f"{path}/" if path else ""
        # In most folders nobody speaks but junk, and asking everybody about every file is what a walk would cost.
        silent = found.rules.is_silent(level, verdict)
        for entry in entries:
            inner = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                said = found.rules.judge(inner, level, verdict, folder=True)
                if found.rules.reach_below(inner, said):
                    _check_path(found, f"{inner}/")
                    stack.append((inner, level, said))
            elif not is_junk(entry.name) if silent else found.rules.judge(inner, level, verdict, folder=False).kept:
                _take(found, entry, inner)
    return found


def decide(folder: Folder, path: str) -> Verdict:
    """Why `path` (relative to the root) is in or out. Raises InvalidTree when it is not there."""
    found = _start(folder)
    parts = os.path.normpath(path).split("/")
    verdict, level = KEPT, _enter(found, "", found.outer, _scan(found, ""))
    for depth in range(1, len(parts) + 1):
        name = "/".join(parts[:depth])
        try:
            mode = os.lstat(found.root / name).st_mode
        except OSError as error:
            raise InvalidTree(f"{path} is not in {folder.root}", hint="give a path relative to the folder") from error
        verdict = found.rules.judge(name, level, verdict, folder=stat.S_ISDIR(mode))
        if stat.S_ISDIR(mode):
            level = _enter(found, name, level, _scan(found, name))
    return verdict


def _start(folder: Folder) -> Walk:
    root = checked_root(folder.root)
    repository = find_repository(root)
    tracked, notes = find_tracked(root, repository)
    includes = Includes(globs=folder.include)
    rules = Rules(includes=includes, tracked=tracked, without=frozenset(folder.without), only=folder.only)
    return Walk(root=root, rules=rules, outer=outer_level(root, repository), limits=folder.limits, notes=list(notes))


def _scan(found: Walk, folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(found.root / folder) as entries:
            # In order, so that a walk over an unchanged tree says the same in the same words.
            return sorted(entries, key=attrgetter("name"))
    except OSError as error:
        raise InvalidTree(f"the folder {folder or '.'} cannot be read: {error.strerror}", hint=LEAVE_OUT) from error


def _enter(found: Walk, folder: str, level: Level, entries: list[os.DirEntry[str]]) -> Level:
    """`level` with the ignore files of `folder` put first."""
    marks = _MARKS.intersection([entry.name for entry in entries])
    if not marks:
        return level
    prefix = f"{folder}/" if folder else ""
    flyte, git = (
        read_patterns(found.root / prefix / name, prefix + name, skip=len(os.fsencode(prefix)))
        if name in marks
        else None
        for name in (".flyteignore", ".gitignore")
    )
    return Level(
        flyte=(flyte, *level.flyte) if flyte else level.flyte,
        git=(git, *level.git) if git else level.git,
        venv=level.venv or bool(folder and VENV_MARK in marks),
    )


def _take(found: Walk, entry: os.DirEntry[str], path: str) -> None:
    if len(path) > found.limits.path_bytes:
        _check_path(found, path)
    status = entry.stat(follow_symlinks=False)
    if stat.S_ISREG(status.st_mode):
        if may_be_secret(entry.name) and (what := secret_by_name(path)) and not found.rules.includes.name_exactly(path):
            found.secrets.append(f"{path} ({what})")
        found.files.append(Found.of(path, status))
    elif stat.S_ISLNK(status.st_mode):
        found.links.append(_link(found.root, path))
    else:
        found.notes.append(f"{path} is a {_kind(status.st_mode)} and was skipped")


def _kind(mode: int) -> str:
    return "pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"


def _link(root: Path, path: str) -> Entry:
    target = os.readlink(root / path)  # noqa: PTH115 - Path.readlink folds `a/./b`, which is another link
    fault = link_fault(path, target)
    # The text may stay inside while links on its way lead out.
    if not fault and not Path(os.path.realpath(root / path)).is_relative_to(root):
        fault = f"links to {target!r}, which leads outside of the tree"
    if fault:
        raise InvalidTree(f"{path} {fault}", hint=f"copy what it points to into the tree, or {LEAVE_OUT}")
    return Entry(path=path, mode="link", link=target)


def _check_path(found: Walk, path: str) -> None:
    if path.count("/") > found.limits.folders or len(path) > found.limits.path_bytes:
        raise InvalidTree(
            f"{path[:80]}… is deeper than {found.limits.folders} folders or longer than "
            f"{found.limits.path_bytes} bytes",
            hint=LEAVE_OUT,
        )
