"""What is shown never holds what must not be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_build.registry.redact import bare_url, plain, redact_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a/b", "https://a/b"),
        ("https://u:p@a/b?X-Sig=s3cret&k=v#f", "https://a/b?X-Sig=…&k=…"),
        ("https://u:s3@cret@a/b", "https://a/b"),
        ("https://a/b?s3cret", "https://a/b?…"),
        ("https://a/b@c?k=v", "https://a/b@c?k=…"),
    ],
)
def test_a_url_keeps_its_place_and_loses_its_values(url: str, shown: str) -> None:
    assert redact_url(url) == shown


def test_a_bare_url_is_a_place_and_nothing_else() -> None:
    assert bare_url("https://u:p@a.example/b/c?token=s3cret#f") == "https://a.example/b/c"
    assert bare_url("") == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mred\nline", "a [31mred line"),
        ("see 'https://a/?t=s3cret' now", "see 'https://a/?t=…' now"),
        ("\u202egnp.exe", "gnp.exe"),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_text_is_one_printable_line(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text(max_size=400), st.integers(min_value=1, max_value=250))
def test_any_text_becomes_a_short_line(text: str, limit: int) -> None:
    shown = plain(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
