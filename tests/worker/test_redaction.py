"""The attacker who makes a step print a secret."""

from __future__ import annotations

import base64
import json
import random
import shlex
import textwrap
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flyte_build.registry.errors import InvalidInput
from flyte_build.worker.secrets.gather import MissingSecret
from flyte_build.worker.secrets.projects import ProjectSecrets
from flyte_build.worker.secrets.redaction import HIDDEN, Redactor

SECRET = "canary/9f+3b & 'quoted' \"x\" ünïcode"
OTHER = "zzzzzz-yyyyyy-0123456789"
REDACT = Redactor.of((SECRET, OTHER, "short"))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"a {SECRET} b", id="as it is"),
        pytest.param(f"https://u:{urllib.parse.quote(SECRET, safe='')}@host/", id="quoted for a URL"),
        pytest.param(f"q={urllib.parse.quote_plus(SECRET)}&x", id="in a query"),
        pytest.param(json.dumps({"password": SECRET}), id="in JSON"),
        pytest.param(json.dumps({"password": SECRET}, ensure_ascii=False), id="in JSON as Go writes it"),
        pytest.param(f"+ echo {shlex.quote(SECRET)}", id="in what set -x prints"),
        pytest.param(f"/files/{urllib.parse.quote(SECRET)}/x", id="in a path"),
        pytest.param(SECRET.encode().hex(), id="in hex"),
        pytest.param(SECRET.encode().hex().upper(), id="in hex of capitals"),
        pytest.param(base64.b64encode(SECRET.encode()).decode(), id="in base64"),
        pytest.param(base64.b64encode(f"user:{SECRET}".encode()).decode(), id="as a password in base64"),
        pytest.param(base64.b64encode(f"us:{SECRET}:more".encode()).decode(), id="within base64"),
        pytest.param(base64.urlsafe_b64encode(f"use:{SECRET}".encode()).decode(), id="in the base64 of URLs"),
    ],
)
def test_a_secret_is_hidden(text: str) -> None:
    said = REDACT(text)
    assert HIDDEN in said
    assert "canary" not in said
    for shift in range(3):
        inner = base64.b64encode(bytes(shift) + SECRET.encode()).decode()
        assert inner[8:-8] not in said


def test_base64_of_urls_is_another_alphabet() -> None:
    value = "?>?>?>canary~~~"
    plain, other = (encode(value.encode()).decode() for encode in (base64.b64encode, base64.urlsafe_b64encode))
    assert plain != other
    assert [Redactor.of((value,))(text) for text in (plain, other)] == [HIDDEN, HIDDEN]


def test_each_line_of_a_secret_is_one() -> None:
    redact = Redactor.of(("-----BEGIN-----\n  first-canary-line\nlast-canary-line\n",))
    for line in ("got: first-canary-line!", "got: last-canary-line!"):
        assert redact(line) == f"got: {HIDDEN}!"


def test_a_build_hides_what_its_files_hold_and_the_passwords_of_its_indexes(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("file-canary\n")
    redact = Redactor.of_build(
        (tmp_path / "token", tmp_path / "gone"), ("https://u:url%2Dcanary@index.test/", "http://[")
    )
    assert redact("file-canary and url-canary of index.test") == f"{HIDDEN} and {HIDDEN} of index.test"


@pytest.mark.parametrize("width", [8, 10, 16])
def test_a_folded_secret_leaves_no_more_than_its_last_crumb(width: int) -> None:
    lines = [REDACT(line) for line in textwrap.wrap(OTHER, width)]
    assert all(line == HIDDEN or len(line) < 8 for line in lines)
    assert REDACT(f"password: {OTHER[:12]}") == f"password: {HIDDEN}"
    assert REDACT(f"{OTHER[10:]} was the password") == f"{HIDDEN} was the password"


@pytest.mark.parametrize("text", ["", "short", "nothing to see", "zzzzzz", "canary", "***"])
def test_what_is_no_secret_stays(text: str) -> None:
    assert REDACT(text) == text
    assert Redactor()(text) == text


@given(st.text(min_size=8, max_size=60), st.text(max_size=30), st.text(max_size=30))
def test_no_value_ever_comes_through(value: str, before: str, after: str) -> None:
    assume(len(value.strip()) >= 6)
    assume(value.strip() not in HIDDEN)
    redacted = Redactor.of((value,))(before + value + after)
    assert value.strip() not in redacted or value.strip() in before + HIDDEN + after


def test_a_long_log_costs_little() -> None:
    rng = random.Random(1)
    values = ["".join(rng.choices("abcdefghij", k=2000)) for _ in range(20)]
    redact = Redactor.of(values)
    lines = [f"#12 {number} downloading a wheel of some package" for number in range(20_000)]
    assert [redact(line) for line in lines] == lines


@pytest.fixture
def secrets(tmp_path: Path) -> ProjectSecrets:
    root = tmp_path / "secrets"
    for place in ("p/index/token", "p/plain", "q/index/token", "p/..data/hidden", "p/a.b/c", "p/a/b.c", "secret/x"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(f"value of {place}")
    (root / "p" / "linked").mkdir()
    (root / "p" / "linked" / "key").symlink_to("../..data/hidden")
    return ProjectSecrets(root=root)


def test_a_project_has_its_own_secrets(secrets: ProjectSecrets) -> None:
    found = secrets.files("p", frozenset({"index.token", "plain", "linked.key"}))
    assert {name: file.read_text() for name, file in found.items()} == {
        "index.token": "value of p/index/token",
        "plain": "value of p/plain",
        "linked.key": "value of p/..data/hidden",
    }
    assert secrets.files("nobody", frozenset()) == {}


@pytest.mark.parametrize(
    ("project", "name"),
    [
        pytest.param("q", "plain", id="that another project has"),
        pytest.param("p", "../q/index.token", id="by a path to another project"),
        pytest.param("p", "index/token", id="by its path"),
        pytest.param("p", "..data.hidden", id="by the place that Kubernetes keeps it in"),
        pytest.param("..", "secrets.p", id="of the folder above"),
        pytest.param(".", "p.plain", id="of all projects"),
        pytest.param("", "p.plain", id="of no project"),
        pytest.param("none", "x", id="of a project without any"),
    ],
)
def test_a_secret_is_not_given(secrets: ProjectSecrets, project: str, name: str) -> None:
    with pytest.raises(MissingSecret, match="has no secret") as caught:
        secrets.files(project, frozenset({name}))
    assert "value of" not in str(caught.value)


def test_two_secrets_of_one_name_are_refused(secrets: ProjectSecrets) -> None:
    with pytest.raises(InvalidInput, match="two secrets"):
        secrets.files("p", frozenset({"a.b.c"}))


def test_a_service_without_secrets_says_which_are_missing() -> None:
    with pytest.raises(MissingSecret, match=r"'a', 'b\.c'"):
        ProjectSecrets().files("p", frozenset({"b.c", "a"}))
