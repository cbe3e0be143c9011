"""WWW-Authenticate, as servers really write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_build.registry.challenge import Challenge, parse_challenges

BEARER = Challenge("bearer", (("realm", "https://a/token"), ("service", "reg")))


@pytest.mark.parametrize(
    ("header", "meant"),
    [
        pytest.param("", (), id="nothing offers nothing"),
        pytest.param("Basic", (Challenge("basic"),), id="a scheme alone"),
        pytest.param('Basic realm="a b"', (Challenge("basic", (("realm", "a b"),)),), id="a quoted string"),
        pytest.param('Bearer realm="https://a/token",service="reg"', (BEARER,), id="the usual bearer"),
        pytest.param('bEaReR Realm = "https://a/token" ,\tservice=reg', (BEARER,), id="odd case and white space"),
        pytest.param(
            'Bearer realm="https://a/token",service="reg", Basic realm="x"',
            (BEARER, Challenge("basic", (("realm", "x"),))),
            id="two challenges in one header",
        ),
        pytest.param(
            'Negotiate, Bearer realm="https://a/token",service="reg"',
            (Challenge("negotiate"), BEARER),
            id="a scheme without parameters before another",
        ),
        pytest.param(
            'Negotiate YWJj==, Bearer realm="https://a/token",service="reg"',
            (Challenge("negotiate"), BEARER),
            id="a token68 before another",
        ),
        pytest.param(
            'Bearer scope="repository:a:pull,push",realm="x"',
            (Challenge("bearer", (("scope", "repository:a:pull,push"), ("realm", "x"))),),
            id="a comma inside quotes",
        ),
        pytest.param(
            r'Basic realm="say \"hi\""', (Challenge("basic", (("realm", 'say "hi"'),)),), id="an escaped quote"
        ),
        pytest.param(
            'Bearer realm="https://a/token",service="reg", =broken',
            (BEARER,),
            id="a broken end hides nothing",
        ),
        pytest.param('Basic realm="never closed', (Challenge("basic"),), id="a quote that never closes"),
    ],
)
def test_a_header_gives_its_challenges(header: str, meant: tuple[Challenge, ...]) -> None:
    assert parse_challenges(header) == meant


@given(st.text(max_size=200))
def test_no_header_raises(header: str) -> None:
    parse_challenges(header)


@given(st.lists(st.tuples(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text('ab ,="\\', max_size=10)), min_size=1))
def test_quoting_round_trips(parameters: list[tuple[str, str]]) -> None:
    quoted = ", ".join(f'{n}="{v.translate({34: chr(92) + chr(34), 92: chr(92) * 2})}"' for n, v in parameters)
    assert parse_challenges(f"Bearer {quoted}") == (Challenge("bearer", tuple(parameters)),)
