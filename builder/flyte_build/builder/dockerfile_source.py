"""A Dockerfile of the user's -> what it takes: images, and files of its context. Pure.

Read is what decides that (Dockerfile reference: "Parser directives", "FROM", "ARG", "COPY", "ADD", "RUN --mount",
"Here-Documents"); everything else is BuildKit's.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from flyte_build.builder.dockerfile_lines import Instruction, expand, instructions
from flyte_build.registry.errors import InvalidInput

_FLAG = re.compile(r"--(?P<name>[a-z-]+)(?:=(?P<value>(?:[^\s\"']|\"[^\"]*\"|'[^']*')*))?\s*")
_REMOTE = re.compile(r"(https?|ftp|git|ssh)://|git@", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerfileSource:
    """`text` as it is built; `images` by name as written there, each with whether it is for the target platforms;
    `paths` of the context that steps may read, `.` being all of it."""

    text: str
    images: tuple[tuple[str, bool], ...]
    paths: tuple[str, ...]


@dataclass(slots=True)
class _Reader:
    arguments: dict[str, str] = field(default_factory=dict)
    stages: set[str] = field(default_factory=set)
    count: int = 0
    images: dict[str, bool] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)

    def read(self, line: Instruction) -> None:
        handler = {"ARG": self._arg, "FROM": self._from, "COPY": self._copy, "ADD": self._copy, "RUN": self._run}
        handler.get(line.name, lambda _: None)(line)

    def _arg(self, line: Instruction) -> None:
        if not self.count:
            for word in shlex.split(line.rest):
                name, equals, value = word.partition("=")
                if equals:
                    self.arguments[name] = expand(value, self.arguments, line.number)

    def _from(self, line: Instruction) -> None:
        flags, rest = _flags(line.rest)
        words = rest.split()
        if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
            raise InvalidInput(f"line {line.number} of the Dockerfile is no FROM: {line.rest!r}")
        name = expand(words[0].strip("\"'"), self.arguments, line.number)
        if name.lower() not in self.stages and name != "scratch":
            self._image(name, target="BUILDPLATFORM" not in flags.get("platform", [""])[-1])
        if len(words) == 3:
            self.stages.add(words[2].lower())
        self.count += 1

    def _copy(self, line: Instruction) -> None:
        flags, rest = _flags(line.rest)
        if "from" in flags:
            self._reference(flags["from"][-1], line)
            return
        sources = _words(rest)[:-1]
        self.paths.update(_path(source) for source in sources if not _is_foreign(source))

    def _run(self, line: Instruction) -> None:
        for mount in _flags(line.rest)[0].get("mount", []):
            fields = dict(pair.partition("=")[::2] for pair in mount.strip("\"'").split(","))
            if fields.get("type", "bind") not in ("bind", "cache"):
                continue
            if "from" in fields:
                self._reference(fields["from"], line)
            elif fields.get("type", "bind") == "bind":
                self.paths.add(_path(fields.get("source", fields.get("src", "."))))

    def _reference(self, name: str, line: Instruction) -> None:
        name = expand(name, self.arguments, line.number)
        if name.lower() not in self.stages and not name.isdigit() and name != "scratch":
            self._image(name, target=True)

    def _image(self, name: str, *, target: bool) -> None:
        self.images[name] = self.images.get(name, False) or target


def read_dockerfile(text: str) -> DockerfileSource:
    """What a Dockerfile takes. Raises InvalidInput for one that cannot be read so, or that wants another frontend."""
    reader, lines = _Reader(), list(instructions(text))
    for line in lines:
        reader.read(line)
    if not reader.images:
        raise InvalidInput("the Dockerfile takes nothing from any image", hint="start it with FROM and an image")
    paths = ("." if "." in reader.paths else None, *sorted(reader.paths - {"."}))
    kept = (".",) if paths[0] else tuple(path for path in paths if path)
    return DockerfileSource(text=text, images=tuple(sorted(reader.images.items())), paths=kept)


def _flags(rest: str) -> tuple[dict[str, list[str]], str]:
    flags: dict[str, list[str]] = {}
    while match := _FLAG.match(rest):
        flags.setdefault(match["name"], []).append(match["value"] or "")
        rest = rest[match.end() :]
    return flags, rest


def _words(rest: str) -> list[str]:
    if rest.startswith("["):
        try:
            found = json.loads(rest)
        except ValueError:
            found = None
        if isinstance(found, list):
            return [str(word) for word in found]
    try:
        return shlex.split(rest)
    except ValueError:
        return [".", "."]


def _is_foreign(source: str) -> bool:
    return source.startswith("<<") or _REMOTE.match(source) is not None


def _path(source: str) -> str:
    """A path of the context; with a variable in it, the whole context."""
    if "$" in source:
        return "."
    return posixpath.normpath(source).lstrip("/").removeprefix("../") or "."


def reached(paths: tuple[str, ...]) -> Iterator[re.Pattern[str]]:
    """Patterns of whole paths that steps may read, each for a file, or a folder with all in it."""
    from flyte_build.builder.dockerignore import translated

    for path in paths:
        try:
            yield re.compile(".*" if path == "." else f"{translated(path)}(?:/.*)?", re.DOTALL)
        except (ValueError, re.error):
            yield re.compile(".*", re.DOTALL)
