"""Which line of a source an error is about. Pure: texts in, numbers out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flyte_build.registry.errors import BuildFailed, FlyteBuildError, InvalidSpec

_LOADED = re.compile(r"failed to load: ([^\s:]+):(\d+): ")
_LAYER = re.compile(r"layers\[(\d+)\]")
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
        return _of_step(error, sources)
    loaded = _LOADED.search(error.sentence)
    if loaded is None:
        return None
    file = next((path for path in sources if path.rpartition("/")[2] == loaded[1]), None)
    return Place(file=file, line=int(loaded[2])) if file else None


def _of_problem(error: InvalidSpec, sources: Mapping[str, str]) -> Place | None:
    file = next((path for path in sources if error.source in (path, path.rpartition("/")[2])), None)
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


def _of_step(error: BuildFailed, sources: Mapping[str, str]) -> Place | None:
    """A step's title holds what was asked: the line with the word that its log names too, else with any of them."""
    words = [word for word in error.step.partition(": ")[2].split() if len(word) >= _LEAST_WORD]
    log = "\n".join(error.log)
    named = [word for word in words if re.split(r"[=<>~!\[;@]", word)[0] in log]
    for word in (*named, *words):
        for file, text in sources.items():
            for number, line in enumerate(text.splitlines(), 1):
                if word in line:
                    return Place(file=file, line=number)
    return None
