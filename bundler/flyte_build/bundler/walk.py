"""The walk: which files of a folder are in, by the rules, with their status. Nothing is opened but ignore files.

Links are recorded and never followed. Sockets, pipes and devices have no content to carry and are skipped with a
note. Folders are not in a manifest, so empty ones do not travel, as in git.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path

from flyte_build.bundler.copies import copies, spread
from flyte_build.bundler.folders import enter, scan
from flyte_build.bundler.found import Finds, Group, numbers_of
from flyte_build.bundler.git import find_repository, find_tracked, outer_level
from flyte_build.bundler.ignore import KEPT, Level, Only, Rules, Verdict
from flyte_build.bundler.includes import Includes
from flyte_build.bundler.junk import are_plain, is_junk, may_be_secret, secret_by_name
from flyte_build.bundler.limits import BundleLimits
from flyte_build.bundler.manifest import Entry, link_fault
from flyte_build.bundler.refusals import LEAVE_OUT
from flyte_build.bundler.root import checked_root
from flyte_build.registry.errors import InvalidTree

_Pending = tuple[str, Level, Verdict]
# More entries are worth a copy of this process.
_MANY = 4000


@dataclass(slots=True, kw_only=True)
class Walk:
    """What was found below `root`, by which rules."""

    root: Path
    rules: Rules
    outer: Level
    limits: BundleLimits
    files: Finds = field(default_factory=Finds)


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
    found = start(folder)
    # A stack and not recursion: a hostile depth ends in a sentence.
    pending = [("", found.outer, KEPT)]
    seen = 0
    while pending and seen <= _MANY:
        seen += _visit(found, pending)
    hands = min(copies(), len(pending))
    if hands > 1:
        for packed in spread(lambda share: _below(found, pending[share::hands]), hands, hands):
            found.files.add(packed)
    else:
        while pending:
            _visit(found, pending)
    found.files.sort()
    return found


def _below(found: Walk, pending: list[_Pending]) -> bytes:
    """What is below the folders of `pending`."""
    mine = replace(found, files=Finds())
    while pending:
        _visit(mine, pending)
    return mine.files.pack()


def _visit(found: Walk, pending: list[_Pending]) -> int:
    """Take the files of the last folder of `pending`, and add its folders; how many entries it has."""
    path, level, verdict = pending.pop()
    entries = scan(found.root, path)
    names = [entry.name for entry in entries]
    level = enter(found.root, path, level, names)
    # In most folders nobody speaks but junk, and asking everybody about every file is what a walk would cost.
    silent, plain = found.rules.is_silent(level, verdict), are_plain(names)
    group = Group(f"{path}/" if path else "")
    for entry in entries:
        inner = group.prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            said = found.rules.judge(inner, level, verdict, folder=True)
            if found.rules.reach_below(inner, said):
                _check_path(found, f"{inner}/")
                pending.append((inner, level, said))
        elif (
            (plain or not is_junk(entry.name))
            if silent
            else found.rules.judge(inner, level, verdict, folder=False).kept
        ):
            _take(found, group, entry, suspect=not plain)
    if group.names:
        found.files.groups.append(group)
    return len(entries)


def start(folder: Folder) -> Walk:
    """A walk that has seen nothing yet, with the rules that hold."""
    root = checked_root(folder.root)
    repository = find_repository(root)
    tracked, notes = find_tracked(root, repository)
    includes = Includes(globs=folder.include)
    rules = Rules(includes=includes, tracked=tracked, without=frozenset(folder.without), only=folder.only)
    files = Finds(notes=list(notes))
    return Walk(root=root, rules=rules, outer=outer_level(root, repository), limits=folder.limits, files=files)


def _take(found: Walk, group: Group, entry: os.DirEntry[str], *, suspect: bool) -> None:
    path = group.prefix + entry.name
    if len(path) > found.limits.path_bytes:
        _check_path(found, path)
    status = entry.stat(follow_symlinks=False)
    if stat.S_ISREG(status.st_mode):
        meant = not suspect or not may_be_secret(entry.name) or found.rules.includes.name_exactly(path)
        if not meant and (what := secret_by_name(path)):
            found.files.secrets.append(f"{path} ({what})")
        group.names.append(entry.name)
        group.numbers.extend(numbers_of(status))
    elif stat.S_ISLNK(status.st_mode):
        found.files.links.append(_link(found.root, path))
    else:
        found.files.notes.append(f"{path} is a {kind_of(status.st_mode)} and was skipped")


def kind_of(mode: int) -> str:
    """What is neither file, folder nor link, in a word."""
    return "pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"


def link_fault_of(root: Path, path: str) -> str:
    """What keeps the link at `path` out of any bundle, like "links to '/etc', …", or nothing."""
    target = os.readlink(root / path)  # noqa: PTH115 - Path.readlink folds `a/./b`, which is another link
    fault = link_fault(path, target)
    # The text may stay inside while links on its way lead out.
    if not fault and not Path(os.path.realpath(root / path)).is_relative_to(root):
        fault = f"links to {target!r}, which leads outside of the tree"
    return fault


def _link(root: Path, path: str) -> Entry:
    if fault := link_fault_of(root, path):
        raise InvalidTree(f"{path} {fault}", hint=f"copy what it points to into the tree, or {LEAVE_OUT}")
    return Entry(path=path, mode="link", link=os.readlink(root / path))  # noqa: PTH115 - as above


def _check_path(found: Walk, path: str) -> None:
    if path.count("/") > found.limits.folders or len(path) > found.limits.path_bytes:
        raise InvalidTree(
            f"{path[:80]}… is deeper than {found.limits.folders} folders or longer than "
            f"{found.limits.path_bytes} bytes",
            hint=LEAVE_OUT,
        )
