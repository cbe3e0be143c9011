"""Which line of a source an error is about. Pure: texts in, numbers out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from flyte_build.registry.errors import BuildFailed, FlyteBuildError, InvalidSpec

_LOADED = re.compile(r"failed to load: ([^\s:]+):(\d+): ")
_UNREADABLE = re.compile(r"^(\S+) is not TOML: .*\(at line (\d+), column \d+\)")
_LAYER = re.compile(r"layers\[(\d+)\]")
# What BuildKit calls an instruction of a Dockerfile: `[2/3] RUN …`, `[linux/arm64 stage 2/3] RUN …`.
_INSTRUCTION = re.compile(r"\[[^\]]*\d+/\d+\] (.+)", re.DOTALL)
_LEAST_WORD = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A file as the user named it, and a line from 1."""

    file: str
    line: int


def locate(error: FlyteBuildError, sources: Mapping[str, str]) -> Place | None:
    """Where in `sources` (path -> text) the cause of `error` stands, as far as can be told."""
    if isinstance(error, InvalidSpec):
        return _of_problem(error, sources)
    if isinstance(error, BuildFailed):
        return _of_instruction(error, sources) or _of_step(error, sources)
    said = _LOADED.search(error.sentence) or _UNREADABLE.match(error.sentence)
    if said is None:
        return None
    file = _named(said[1], sources)
    return Place(file=file, line=int(said[2])) if file else None


def parts_of(error: FlyteBuildError) -> Sequence[FlyteBuildError]:
    """One error for each thing that is wrong, so that each is shown at its own line."""
    if isinstance(error, InvalidSpec):
        return [InvalidSpec(error.source, (problem,), hint=error.hint) for problem in error.problems]
    return [error]


def _named(name: str, sources: Mapping[str, str]) -> str | None:
    return next((path for path in sources if name in (path, path.rpartition("/")[2])), None)


def _of_problem(error: InvalidSpec, sources: Mapping[str, str]) -> Place | None:
    file = _named(error.source, sources)
    if file is None or not error.problems:
        return None
    path = error.problems[0].path
    lines = sources[file].splitlines()
    first = _start_of_layer(path, lines)
    key = re.compile(rf"\s*\"?{re.escape(path.rpartition('.')[2].partition('[')[0])}\"?\s*=")
    found = (number for number, line in enumerate(lines[first:], first + 1) if key.match(line))
    return Place(file=file, line=next(found, max(first, 1)))


def _start_of_layer(path: str, lines: Sequence[str]) -> int:
    """The number of the `[[layers]]` line that a dotted path is below; 0 for what is not in a layer."""
    layer = _LAYER.match(path)
    if layer is None:
        return 0
    heads = [number for number, line in enumerate(lines, 1) if line.strip().replace(" ", "").startswith("[[layers]]")]
    return heads[int(layer[1])] if int(layer[1]) < len(heads) else 0


def _of_instruction(error: BuildFailed, sources: Mapping[str, str]) -> Place | None:
    """The first line of an instruction of a Dockerfile. BuildKit joins continued lines, and keeps their blanks."""
    said = _INSTRUCTION.fullmatch(error.step)
    if said is None:
        return None
    wanted = said[1].split()
    for file, text in sources.items():
        for number, instruction in _instructions(text):
            if instruction.split() == wanted:
                return Place(file=file, line=number)
    return None


def _instructions(text: str) -> Iterator[tuple[int, str]]:
    """Each instruction with the number of its first line; comments between its lines are left out, as BuildKit does."""
    first, held = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        first = first or number
        held += line
        if held.endswith("\\"):
            held = held[:-1]
            continue
        yield first, held
        first, held = 0, ""


def _of_step(error: BuildFailed, sources: Mapping[str, str]) -> Place | None:
    """A step's title holds what was asked: the line with the word that its log names too, else with any of them."""
    words = words_of(error)
    log = "\n".join(error.log)
    listed = [file for word in words if (file := _named(word, sources))]
    if place := next((place for file in listed if (place := _of_list(file, sources[file], log))), None):
        return place
    named = [word for word in words if _package(word) in log]
    for word in (*named, *words):
        for file, text in sources.items():
            for number, line in enumerate(text.splitlines(), 1):
                if word in line:
                    return Place(file=file, line=number)
    return None


def words_of(error: BuildFailed) -> Sequence[str]:
    """What the step was asked to do: packages, words of a command, names of files."""
    return [word for word in error.step.partition(": ")[2].split() if len(word) >= _LEAST_WORD]


def _of_list(file: str, text: str, log: str) -> Place | None:
    """The requirement that the log complains of."""
    for number, line in enumerate(text.splitlines(), 1):
        name = _package(line)
        if re.match(r"\w", name) and re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", log, re.IGNORECASE):
            return Place(file=file, line=number)
    return None


def _package(word: str) -> str:
    return re.split(r"[\s=<>~!\[;@]", word.strip())[0]
