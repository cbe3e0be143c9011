"""Whether a path is in or out, and why: one decision for the walk, the dry run and `--explain`. Pure.

Who decides, first answer wins:

1. an explicit include, and a folder that was included;
2. standard junk (`junk`): out;
   with `Only`, what it names is in and all else out; then nobody else is asked;
3. `.flyteignore`, the deepest first; a folder that it leaves out stays out;
4. git tracks the file: in, although it may be ignored;
5. a folder that git ignores: everything below is out;
6. `.gitignore`, the deepest first, then `.git/info/exclude`;
7. nothing spoke: in.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from flyte_build.bundler.gitignore import PatternFile
from flyte_build.bundler.includes import Includes
from flyte_build.bundler.junk import VENV_MARK, is_junk


class By(enum.Enum):
    """Who decided."""

    NOTHING = "nothing"
    INCLUDE = "include"
    JUNK = "junk"
    FLYTEIGNORE = "flyteignore"
    GIT = "git"
    IMPORT = "import"
    KIND = "kind"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """In (`kept`) or out, who said so, and `why` in words for a person."""

    kept: bool
    by: By
    why: str


_PASSED = Verdict(kept=False, by=By.IMPORT, why="it is a folder with files that are imported")
_UNUSED = Verdict(kept=False, by=By.IMPORT, why="nothing in the bundle imports it or declares it as data")
KEPT = Verdict(kept=True, by=By.NOTHING, why="nothing leaves it out")
TRACKED = Verdict(kept=True, by=By.GIT, why="git tracks it, although it is ignored")
_OUTPUT = Verdict(kept=False, by=By.JUNK, why="it is the archive that is being written")
_VENV = Verdict(kept=False, by=By.JUNK, why=f"its folder is a virtual environment (it holds {VENV_MARK})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """What git tracks although it is ignored: the files, and every folder above them (relative to the root)."""

    files: frozenset[str] = frozenset()
    folders: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folders", _above(self.files))


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The ignore files that hold in one folder, the deepest first."""

    flyte: tuple[PatternFile, ...] = ()
    git: tuple[PatternFile, ...] = ()
    venv: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Only:
    """Files that are in by themselves, each with why; whatever is not asked for besides is out."""

    files: Mapping[str, str]
    folders: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folders", _above(self.files))

    def judge(self, path: str, parent: Verdict, *, folder: bool) -> Verdict:
        """The verdict about `path`, that no include spoke about."""
        if parent.by is By.INCLUDE:
            return _inherited(parent)
        if folder:
            return _PASSED if path in self.folders else _UNUSED
        why = self.files.get(path)
        return Verdict(kept=True, by=By.IMPORT, why=why) if why is not None else _UNUSED


def _above(paths: Iterable[str]) -> frozenset[str]:
    """Every folder above one of `paths`."""
    return frozenset(path[:end] for path in paths for end in _slashes(path))


def _slashes(path: str) -> Iterator[int]:
    end = path.find("/")
    while end != -1:
        yield end
        end = path.find("/", end + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds for the whole tree. `without` are paths that are never in, such as the archive being written.

    With `only` the ignore files are not asked: what is imported is in, whatever they say.
    """

    includes: Includes = Includes()
    tracked: Tracked = Tracked()
    without: frozenset[str] = frozenset()
    only: Only | None = None

    def judge(self, path: str, level: Level, parent: Verdict, *, folder: bool) -> Verdict:
        """Decide about `path` (relative to the root) in a folder about which `parent` was decided."""
        raw = path.encode(errors="surrogateescape")
        first = self._written(path) or self._asked(raw, level, parent, folder=folder) or _junk(path, level, parent)
        if first:
            return first
        if self.only is not None:
            return self.only.judge(path, parent, folder=folder)
        if parent.by is By.INCLUDE or (parent.by is By.FLYTEIGNORE and not parent.kept):
            return _inherited(parent)
        said = _decide(level.flyte, raw, By.FLYTEIGNORE, folder=folder)
        if said and (parent.kept or not said.kept):
            return said
        if path in self.tracked.files:
            return TRACKED
        return (_decide(level.git, raw, By.GIT, folder=folder) or KEPT) if parent.kept else _inherited(parent)

    def is_silent(self, level: Level, parent: Verdict) -> bool:
        """Whether only standard junk is out in a folder about which `parent` was decided."""
        alone = not (self.includes.globs or self.without or self.only)
        return alone and parent is KEPT and not (level.flyte or level.git or level.venv)

    def _written(self, path: str) -> Verdict | None:
        return _OUTPUT if path in self.without else None

    def _asked(self, path: bytes, level: Level, parent: Verdict, *, folder: bool) -> Verdict | None:
        hit = self.includes.file.decide(path, folder=folder) if self.includes.globs else None
        if hit is None:
            return None
        if (parent.by is By.JUNK or level.venv) and (hit.by_name or "**/" in hit.text):
            return None
        return Verdict(kept=True, by=By.INCLUDE, why=f"it was asked for by --include {hit.text}")

    def reach_below(self, path: str, verdict: Verdict) -> bool:
        """Whether something below the folder `path` may be in."""
        junk = verdict.by is By.JUNK
        if verdict.kept or self.includes.lead_below(path, junk=junk):
            return True
        if junk:
            return False
        if verdict.by is By.IMPORT and self.only is not None and path in self.only.folders:
            return True
        return self.includes.names or (verdict.by is By.GIT and path in self.tracked.folders)


def _junk(path: str, level: Level, parent: Verdict) -> Verdict | None:
    name = path[path.rfind("/") + 1 :]
    if parent.by is By.JUNK:
        return _inherited(parent)
    if level.venv and parent.by is not By.INCLUDE:
        return _VENV
    return Verdict(kept=False, by=By.JUNK, why=f"{name} is standard junk") if is_junk(name) else None


def _decide(files: Iterable[PatternFile], path: bytes, by: By, *, folder: bool) -> Verdict | None:
    for file in files:
        if hit := file.decide(path, folder=folder):
            return Verdict(kept=hit.negated, by=by, why=f"{file.source}, line {hit.line}: {hit.text}")
    return None


def _inherited(parent: Verdict) -> Verdict:
    if parent.why.startswith("its folder"):
        return parent
    return Verdict(kept=parent.kept, by=parent.by, why=f"its folder: {parent.why}")
