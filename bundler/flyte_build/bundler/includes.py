"""What was asked for explicitly (`--include`), as patterns. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from flyte_build.bundler.gitignore import Pattern, PatternFile, parse_line
from flyte_build.registry.errors import InvalidInput

_SLASH = re.compile(b"/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Includes:
    """What was asked for explicitly, as patterns from the root.

    `data/model.bin` and `/setup.cfg` are paths; `*.bin`, a name, and `data/**/*.bin` are sought everywhere but in junk;
    a folder means everything in it but junk and secrets. Raises InvalidInput for a pattern that takes back (`!`).
    """

    globs: tuple[str, ...] = ()
    file: PatternFile = field(init=False, repr=False, compare=False)
    _ways: tuple[tuple[Pattern | None, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        patterns = []
        object.__setattr__(self, "globs", tuple(glob.removeprefix("./") for glob in self.globs))
        for glob in self.globs:
            pattern = parse_line(glob.encode(errors="surrogateescape"))
            if pattern is None or pattern.negated:
                raise InvalidInput(f"{glob!r} includes nothing", hint="leave files out by a .flyteignore file")
            patterns.append(pattern)
        object.__setattr__(self, "file", PatternFile(source="--include", patterns=tuple(patterns)))
        paths = zip(self.globs, patterns, strict=True)
        object.__setattr__(self, "_ways", tuple(_way(glob) for glob, pattern in paths if not pattern.by_name))

    @property
    def names(self) -> bool:
        """Whether some pattern is a name that may be anywhere."""
        return any(pattern.by_name for pattern in self.file.patterns)

    def lead_below(self, folder: str, *, junk: bool) -> bool:
        """Whether a pattern with a slash may match something below `folder`, which is `junk` or not."""
        parts = [part.encode(errors="surrogateescape") for part in folder.split("/")]
        return any(_leads(way, parts) for way in self._ways if not (junk and None in way))

    def idle(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Those globs that match none of `paths` (files, relative to the root) and no folder above one."""
        if not self.globs:
            return ()
        files = [path.encode(errors="surrogateescape") for path in paths]
        folders = {path[: slash.start()] for path in files for slash in _SLASH.finditer(path)}
        found = [(path, False) for path in files] + [(path, True) for path in folders]
        return tuple(
            glob
            for glob, pattern in zip(self.globs, self.file.patterns, strict=True)
            if not _matches(PatternFile(source="", patterns=(pattern,)), found)
        )

    def name_exactly(self, path: str) -> bool:
        """Whether a pattern without wildcards names this path, as likely secrets ask for."""
        name = path[path.rfind("/") + 1 :]
        return any(glob.removeprefix("/") in (path, name) for glob in self.globs if not set(glob) & set("*?[\\"))


def _matches(file: PatternFile, paths: Iterable[tuple[bytes, bool]]) -> bool:
    return any(file.decide(path, folder=folder) for path, folder in paths)


def _way(glob: str) -> tuple[Pattern | None, ...]:
    """One pattern per folder on the way of a glob, None for `**`."""
    folders = glob.strip("/").split("/")[:-1]
    return tuple(None if f.startswith("**") else parse_line(f.encode(errors="surrogateescape")) for f in folders)


def _leads(way: tuple[Pattern | None, ...], folder: list[bytes]) -> bool:
    for depth, part in enumerate(folder):
        if depth >= len(way):
            return False
        pattern = way[depth]
        if pattern is None:
            return True
        if not pattern.regex.fullmatch(part):
            return False
    return True
