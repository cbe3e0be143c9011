"""What a git repository around the tree says: ignore files above the root, `info/exclude`, and what it tracks.

Only what belongs to the repository counts. A person's global excludes would make bundles differ from one machine to
the next, so they are not read.
"""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from flyte_build.bundler.gitignore import PatternFile, parse_lines
from flyte_build.bundler.ignore import Level, Tracked
from flyte_build.registry.errors import InvalidTree

_MAX_IGNORE_BYTES = 1 << 20
_GIT_SECONDS = 60
# Set while git runs a hook; they would make it answer about another repository.
_ELSEWHERE = frozenset({"GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_NAMESPACE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A work tree's top folder and the folder that holds its `info/exclude`."""

    top: Path
    common: Path


def find_repository(root: Path) -> Repository | None:
    """The repository that `root` (absolute) lies in, if any: the nearest `.git`, a folder or a worktree's file."""
    for top in (root, *root.parents):
        mark = top / ".git"
        if mark.is_dir():
            return Repository(top=top, common=mark)
        if mark.is_file():
            return Repository(top=top, common=_common_folder(top, mark))
    return None


def _common_folder(top: Path, mark: Path) -> Path:
    """Follow `gitdir:` and then `commondir` (gitrepository-layout(5))."""
    folder = top / _first_line(mark).removeprefix("gitdir:").strip()
    common = _first_line(folder / "commondir")
    return folder / common if common else folder


def _first_line(path: Path) -> str:
    try:
        with path.open(errors="surrogateescape") as reader:
            return reader.readline(8192).strip()
    except OSError:
        return ""


def outer_level(root: Path, repository: Repository | None) -> Level:
    """The rules that hold at the root before its own ignore files are read. Raises InvalidTree for unreadable ones."""
    if repository is None:
        return Level()
    inner = root.relative_to(repository.top)
    above = [root.joinpath(*[".."] * depth) for depth in range(1, len(inner.parts) + 1)]
    files = [_above(folder / ".gitignore", inner, depth) for depth, folder in enumerate(above, 1)]
    files.append(_exclude(repository, inner))
    return Level(git=tuple(file for file in files if file is not None))


def _above(path: Path, inner: Path, depth: int) -> PatternFile | None:
    way = "/".join(inner.parts[len(inner.parts) - depth :]) + "/"
    return read_patterns(path, "../" * depth + ".gitignore", above=os.fsencode(way))


def _exclude(repository: Repository, inner: Path) -> PatternFile | None:
    way = "".join(f"{part}/" for part in inner.parts)
    return read_patterns(repository.common / "info" / "exclude", ".git/info/exclude", above=os.fsencode(way))


def read_patterns(path: Path, source: str, *, skip: int = 0, above: bytes = b"") -> PatternFile | None:
    """The patterns of one ignore file, or None when there is none. A link is no ignore file, as in git.

    Raises InvalidTree when it cannot be read or is larger than 1 MiB.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if path.is_symlink():
            return None
        raise InvalidTree(f"the ignore file {source} cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as reader:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        data = reader.read(_MAX_IGNORE_BYTES + 1)
    if len(data) > _MAX_IGNORE_BYTES:
        raise InvalidTree(f"the ignore file {source} is larger than 1 MiB, so it is no list of patterns")
    return PatternFile(source=source, patterns=parse_lines(data), skip=skip, above=above)


def find_tracked(root: Path, repository: Repository | None) -> tuple[Tracked, tuple[str, ...]]:
    """What git tracks below `root` although it is ignored, and notes for the person when git could not say."""
    if repository is None:
        return Tracked(), ()
    # A repository's own configuration may name a program to watch files: never start it.
    command = ["git", "-c", "core.fsmonitor=false", "ls-files", "-z", "--cached", "--ignored", "--exclude-standard"]
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env={name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
            | {"GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=_GIT_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Tracked(), (
            f"git could not say what it tracks ({_why(error)}); tracked files that are ignored stay out",
        )
    names = (name for name in done.stdout.split(b"\0") if name)
    return Tracked(files=frozenset(os.fsdecode(name) for name in names)), ()


def _why(error: OSError | subprocess.SubprocessError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no git on PATH"
    if isinstance(error, subprocess.CalledProcessError):
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        return lines[0][:200] if lines else f"exit code {error.returncode}"
    return "it took too long" if isinstance(error, subprocess.TimeoutExpired) else str(error)[:200]
