"""What BuildKit and Buildx print, however it is cut: events, the failed step, and nothing a terminal would obey."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_build.builder.buildx.progress import Documents, Narrator, plain
from flyte_build.builder.engine import BuildEvent, StepEnded, StepOutput, StepStarted

START, END = "2026-11-21T10:00:00.123456789Z", "2026-11-21T10:00:02.623456789Z"


def vertex(digest: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"digest": digest, "name": name} | fields


def log(digest: str, data: bytes) -> dict[str, Any]:
    return {"vertex": digest, "stream": 1, "data": base64.b64encode(data).decode()}


STATUSES: list[dict[str, Any]] = [
    {"vertexes": [vertex("a", "[internal] load build definition"), vertex("b", "[stage-1 1/4] FROM x@sha256:1")]},
    {"vertexes": [vertex("a", "[internal] load build definition", started=START, completed=END)]},
    {"vertexes": [vertex("c", "[stage-1 2/4] RUN one", started=START, completed=END, cached=True)]},
    {"vertexes": [vertex("d", "[linux/arm64 stage-1 3/4] RUN two", started=START)]},
    {"logs": [log("d", b"one\ntw"), log("d", b"o\ncaf\xc3"), log("d", b"\xa9\n10%\r100%\r\n\x1b[31mred\x1b[0m")]},
    {"vertexes": [vertex("e", "[recipe 2/2] COPY recipe/ /", started=START, completed=END)]},
    {
        "vertexes": [
            vertex("d", "[linux/arm64 stage-1 3/4] RUN two", started=START, completed=END, error="exit code: 3")
        ]
    },
    {"vertexes": [vertex("f", "[stage-1 4/4] RUN six", started=START, completed=END, error="context canceled")]},
]
STREAM = (
    "WARNING: No output specified\n"
    + "".join(json.dumps(status, indent=1) + ("\n" if number % 2 else "") for number, status in enumerate(STATUSES))
    + "\n{ this is no document\nERROR: failed to solve: \x1b[1mprocess\x1b[0m failed\nand no line end"
)
EVENTS: list[BuildEvent] = [
    StepStarted(title="[internal] load build definition"),
    StepEnded(title="[internal] load build definition", seconds=2.5),
    StepStarted(title="first"),
    StepEnded(title="first", seconds=0.0, cached=True),
    StepStarted(title="second (linux/arm64)"),
    StepOutput(title="second (linux/arm64)", line="one"),
    StepOutput(title="second (linux/arm64)", line="two"),
    StepOutput(title="second (linux/arm64)", line="café"),
    StepOutput(title="second (linux/arm64)", line="100%"),
    StepStarted(title="[recipe 2/2] COPY recipe/ /"),
    StepEnded(title="[recipe 2/2] COPY recipe/ /", seconds=2.5),
    StepOutput(title="second (linux/arm64)", line="red"),
    StepEnded(title="second (linux/arm64)", seconds=2.5, error="exit code: 3"),
    StepStarted(title="third"),
    StepEnded(title="third", seconds=2.5, error="context canceled"),
]
PROSE = [
    "WARNING: No output specified",
    "{ this is no document",
    "ERROR: failed to solve: process failed",
    "and no line end",
]


def heard(pieces: list[str]) -> tuple[list[BuildEvent], Narrator, list[str]]:
    """All that comes of a stream in pieces."""
    events: list[BuildEvent] = []
    documents, narrator = Documents(), Narrator(("first", "second", "third"), events.append)
    for piece in pieces:
        for document in documents.feed(piece):
            narrator.hear(document)
    documents.close()
    return events, narrator, list(documents.prose)


@pytest.mark.parametrize("size", [1, 2, 7, 100, len(STREAM)], ids="{} characters at a time".format)
def test_a_stream_means_the_same_in_pieces_of_any_size(size: int) -> None:
    events, narrator, prose = heard([STREAM[start : start + size] for start in range(0, len(STREAM), size)])
    assert events == EVENTS
    assert prose == PROSE
    assert narrator.failed == ("second (linux/arm64)", "exit code: 3", ("one", "two", "café", "100%", "red"))


@given(st.lists(st.integers(1, len(STREAM) - 1), unique=True, max_size=8).map(sorted))
def test_a_stream_means_the_same_wherever_it_is_cut(cuts: list[int]) -> None:
    pieces = [STREAM[one:other] for one, other in zip([0, *cuts], [*cuts, len(STREAM)], strict=True)]
    assert heard(pieces)[0] == EVENTS


def test_the_log_of_a_failed_step_is_its_last_forty_lines() -> None:
    lines = b"".join(b"line %d\n" % number for number in range(100))
    status = {
        "vertexes": [vertex("a", "[2/2] RUN x", started=START, error="e", completed=END)],
        "logs": [log("a", lines)],
    }
    _, narrator, _ = heard([json.dumps(status)])
    assert narrator.failed is not None
    assert narrator.failed[2] == tuple(f"line {number}" for number in range(60, 100))


def test_a_step_that_was_stopped_because_of_another_is_not_the_one_that_failed() -> None:
    stopped = vertex("a", "[2/3] RUN x", started=START, completed=END, error="context canceled")
    failed = vertex("b", "[3/3] RUN y", started=START, completed=END, error="exit code: 1")
    _, narrator, _ = heard([json.dumps({"vertexes": [stopped, failed]})])
    assert narrator.failed == ("second", "exit code: 1", ())


def test_lines_and_prose_are_bounded() -> None:
    status = {"vertexes": [vertex("a", "x", started=START)], "logs": [log("a", b"x" * 100_000 + b"\n")]}
    events, _, prose = heard([json.dumps(status), "\n", "prose\n" * 1000, "y" * 100_000, "\n"])
    assert [len(event.line) for event in events if isinstance(event, StepOutput)] == [8192]
    assert len(prose) == 40
    assert len(prose[-1]) == 8192


@pytest.mark.parametrize("name", ["[stage-1 9/9] RUN x", "exporting to image", "[a b 2/4] y"])
def test_what_is_no_step_of_the_plan_keeps_its_name(name: str) -> None:
    events, _, _ = heard([json.dumps({"vertexes": [vertex("a", name, started=START)]})])
    assert events == [StepStarted(title=name)]


def test_the_first_step_is_the_base_image() -> None:
    events, _, _ = heard([json.dumps({"vertexes": [vertex("a", "[1/4] FROM x", started=START)]})])
    assert events == [StepStarted(title="base image")]


NAMED = [
    ("[1/3] RUN exho hi", "[1/3] RUN exho hi"),
    ("[one 1/2] COPY nosuch /", "[one 1/2] COPY nosuch /"),
    ("[linux/arm64 stage-1 1/2] RUN x", "[linux/arm64 stage-1 1/2] RUN x"),
    ("[context a.test/b:1] a.test/b@sha256:0", "image a.test/b:1"),
    ("[context a.test/b:1] load metadata for a.test/b@sha256:0",) * 2,
]


@pytest.mark.parametrize(("name", "title"), NAMED)
def test_the_first_step_of_a_dockerfile_is_not_taken_for_its_base(name: str, title: str) -> None:
    events: list[BuildEvent] = []
    Narrator((), events.append).hear({"vertexes": [vertex("a", name, started=START)]})
    assert events == [StepStarted(title=title)]


PLAIN = {
    "colours": ("\x1b[1;31mred\x1b[0m", "red"),
    "a cursor": ("a\x1b[2Jb\x1b[10;20Hc", "abc"),
    "a window title": ("\x1b]0;owned\x07text", "text"),
    "a link": ("\x1b]8;;https://a.test\x1b\\text\x1b]8;;\x1b\\", "text"),
    "a character set": ("\x1b(Btext\x1b)0", "text"),
    "a reset": ("\x1bctext\x1b7", "text"),
    "an escape without end": ("text\x1b[", "text"),
    "a progress bar": ("10%\r50%\r100%", "100%"),
    "a progress bar with an end": ("10%\r100%\r", "100%"),
    "bells and nulls": ("a\x07b\x00c\x7fd\x9be", "abcde"),
    "text that turns around": ("user\u202e\u2066gnp.exe", "usergnp.exe"),
    "a tab": ("a\tb", "a\tb"),
    "other scripts": ("né ☃ 𝄞 عربي", "né ☃ 𝄞 عربي"),
}


@pytest.mark.parametrize(("line", "expected"), PLAIN.values(), ids=PLAIN.keys())
def test_plain_text_has_no(line: str, expected: str) -> None:
    assert plain(line) == expected


@given(st.text())
def test_plain_text_has_no_control_characters(line: str) -> None:
    assert not any(ord(character) < 32 and character != "\t" for character in plain(line))


def test_a_cache_that_cannot_be_read_is_told_and_is_not_what_failed() -> None:
    events: list[BuildEvent] = []
    narrator = Narrator((), events.append)
    title = "importing cache manifest from r.example/x:buildcache"
    narrator.hear({"vertexes": [vertex("a", title, started=START, completed=END, error="not found")]})
    assert narrator.failed is None
    line = "nothing is taken from it: not found"
    assert events[1:] == [StepOutput(title=title, line=line), StepEnded(title=title, seconds=2.5)]
