"""One folder: what is in it, in order, and which ignore files hold there."""

from __future__ import annotations

import os
from operator import attrgetter
from pathlib import Path

from flyte_build.bundler.git import read_patterns
from flyte_build.bundler.ignore import Level
from flyte_build.bundler.junk import VENV_MARK
from flyte_build.bundler.refusals import LEAVE_OUT
from flyte_build.registry.errors import InvalidTree

_MARKS = frozenset({".flyteignore", ".gitignore", VENV_MARK})


def scan(root: Path, folder: str) -> list[os.DirEntry[str]]:
    """What is in `folder` (relative to `root`). Raises InvalidTree when it cannot be read."""
    try:
        with os.scandir(root / folder) as entries:
            # In order, so that a walk over an unchanged tree says the same in the same words.
            return sorted(entries, key=attrgetter("name"))
    except OSError as error:
        raise InvalidTree(f"the folder {folder or '.'} cannot be read: {error.strerror}", hint=LEAVE_OUT) from error


def names_in(root: Path, folder: str) -> list[str]:
    """The names of what is in `folder`. Raises InvalidTree when it cannot be read."""
    return [entry.name for entry in scan(root, folder)]


def enter(root: Path, folder: str, level: Level, names: list[str]) -> Level:
    """`level` with the ignore files of `folder` put first."""
    marks = _MARKS.intersection(names)
    if not marks:
        return level
    prefix = f"{folder}/" if folder else ""
    flyte, git = (
        read_patterns(root / prefix / name, prefix + name, skip=len(os.fsencode(prefix))) if name in marks else None
        for name in (".flyteignore", ".gitignore")
    )
    return Level(
        flyte=(flyte, *level.flyte) if flyte else level.flyte,
        git=(git, *level.git) if git else level.git,
        venv=level.venv or bool(folder and VENV_MARK in marks),
    )
