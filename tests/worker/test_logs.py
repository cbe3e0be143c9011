from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_build.worker.stores.logs import LogFile, clean


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        pytest.param("plain\ttext\n", "plain\ttext\n", id="plain text stays"),
        pytest.param("\x1b[31mred\x1b[0m", "red", id="colours go"),
        pytest.param("\x1b]0;title\x07after", "after", id="a window title goes"),
        pytest.param("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link", id="a hyperlink goes"),
        pytest.param("10%\r20%\r\ndone", "10%\n20%\ndone", id="a progress bar becomes lines"),
        pytest.param("a\x08b\x00c\x9b2Jd", "abcd", id="controls of both sets go"),
        pytest.param("\x1bcreset", "reset", id="a terminal reset goes"),
        pytest.param("\x1bP1$r\x1b\\x", "x", id="a device string goes"),
        pytest.param("caf\udce9", "caf?", id="a name of a file that is no text can be written"),
        pytest.param("wörter 漢字", "wörter 漢字", id="other scripts stay"),
    ],
)
def test_cleaning(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(st.text(alphabet=st.sampled_from("\x1b[]0;mPX^_\\\x07\x9b\r\nabc ~@"), max_size=60))
def test_what_is_cleaned_has_no_control_but_tab_and_line_break(text: str) -> None:
    assert not [c for c in clean(text) if (ord(c) < 32 and c not in "\t\n") or 127 <= ord(c) < 160]


def test_a_log_is_read_from_a_position_and_from_its_end(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "deep" / "log")
    assert (log.size, log.read(0, 10), log.tail(10)) == (0, b"", "")
    log.append("one")
    log.append("two\nthree\r\n")
    assert log.read(4, 100) == b"two\nthree\n"
    assert log.read(0, 3) == b"one"
    assert log.tail(7) == "three\n"
    log.start()
    assert log.size == 0


def test_a_log_is_bounded_and_says_so_once(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log", limit=200)
    for _ in range(1000):
        log.append("x" * 50)
    text = log.tail(1000)
    assert text.count("the rest is not kept") == 1
    assert len(text) < 300
