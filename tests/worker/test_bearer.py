"""Which token a build service is shown: read anew while a build goes on, because such tokens live for minutes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.worker.guarded import Guarded
from tests.worker.oidc import JOBS, MAY_ASK, Idp, idp

from flyte_build.bundler.endpoint import Endpoint
from flyte_build.bundler.signed import SignedUploads
from flyte_build.bundler.wire import Wire
from flyte_build.registry.errors import InvalidInput, ServiceDenied, ServiceStranger
from flyte_build.worker.client.bearer import advice, bearer
from flyte_build.worker.client.builds import BuildsClient
from flyte_build.worker.client.files import FileUploads
from flyte_build.worker.client.service import describe


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests themselves may run in a job of GitHub's."""
    for name in ("GITHUB_ACTIONS", *(f"FLYTE_BUILD_TOKEN{part}" for part in ("", "_FILE", "_AUDIENCE"))):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[Idp]:
    with idp() as issuer:
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{issuer.url}{JOBS}")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", MAY_ASK)
        monkeypatch.setenv("FLYTE_BUILD_TOKEN_AUDIENCE", "builds")
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        yield issuer


def test_without_any_there_is_none() -> None:
    assert bearer() == ""
    assert advice(known=False) == "set FLYTE_BUILD_TOKEN"


def test_a_file_is_read_at_every_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    monkeypatch.setenv("FLYTE_BUILD_TOKEN_FILE", str(file))
    monkeypatch.setenv("FLYTE_BUILD_TOKEN", "old")
    for text in ("one\n", "two"):
        file.write_text(text, encoding="utf-8")
        assert bearer() == text.strip()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "cannot be read: No such file"), (b" \n", "is empty"), (b"\xff", "is no token"), (b"a\nb", "is no token")],
)
def test_a_file_without_a_token_says_what_is_wrong_with_it_and_what_to_do(
    content: bytes | None, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    monkeypatch.setenv("FLYTE_BUILD_TOKEN_FILE", str(file))
    monkeypatch.setenv("FLYTE_BUILD_TOKEN", "another")
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidInput, match=sentence) as refused:
        bearer()
    assert str(file) in refused.value.sentence
    assert refused.value.hint.startswith("put the token into it, or unset FLYTE_BUILD_TOKEN_FILE")


@pytest.mark.parametrize("token", ["hunter2\nx", "hunter2 x", "hunter2\x00", "hunter2é"])
def test_what_no_header_can_carry_is_refused_without_being_shown(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"FLYTE_BUILD_TOKEN": token})
    with pytest.raises(InvalidInput, match="what is in FLYTE_BUILD_TOKEN is no token") as refused:
        bearer()
    assert "hunter2" not in f"{refused.value.sentence}{refused.value.hint}"


# Times of claims are seconds from when the test runs.
STRANGERS = (
    ({"exp": -9000, "iat": -9999}, "by this machine's clock it ended 2 hours ago", "log in again; the token"),
    ({"nbf": 9000, "exp": 12000}, "by this machine's clock it begins in 2 hours", "wait until then, or put"),
    ({"aud": "another"}, "it was made for another audience", "put another token into "),
    ({"forged": True}, "its signature is not its issuer's", "put another token into "),
    (None, "the token is not known here", "put another token into "),
)


@pytest.mark.real
@pytest.mark.parametrize(("claims", "sentence", "hint"), STRANGERS)
def test_a_token_that_does_not_count_is_changed_where_it_is_from_and_no_project_is_named(
    guarded: Guarded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    claims: dict[str, Any] | None,
    sentence: str,
    hint: str,
) -> None:
    token = "unknown"
    if claims is not None:
        now = int(time.time())
        at: dict[str, Any] = {name: now + one if type(one) is int else one for name, one in claims.items()}
        token = guarded.issuer.token(**at)
        token = f"{token.rpartition('.')[0]}.{'A' * 342}" if "forged" in claims else token
    (tmp_path / "token").write_text(token, encoding="utf-8")
    monkeypatch.setenv("FLYTE_BUILD_TOKEN_FILE", str(tmp_path / "token"))
    for ask in calls(Endpoint.parse(guarded.served.url)):
        with pytest.raises(ServiceStranger) as refused:
            ask()
        assert sentence in refused.value.sentence
        assert refused.value.hint.startswith(hint)
        assert "--project" not in refused.value.hint
        assert "set FLYTE_BUILD_TOKEN" not in refused.value.hint


@pytest.mark.real
def test_who_is_known_but_may_not_is_told_to_name_another_project(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYTE_BUILD_TOKEN", guarded.issuer.token(sub="carol"))
    for ask in calls(Endpoint.parse(guarded.served.url)):
        with pytest.raises(ServiceDenied) as refused:
            ask()
        assert refused.value.hint.startswith(
            "name a project that the token may use (--project, --domain), or set FLYTE"
        )


def calls(endpoint: Endpoint) -> tuple[Callable[[], object], ...]:
    """What `image --engine remote`, `builds` and `doctor` ask first."""
    uploads = SignedUploads(endpoint=endpoint, project="p", domain="development", wire=Wire(), token=bearer)
    return (
        lambda: BuildsClient(endpoint=endpoint).list({}),
        lambda: BuildsClient(endpoint=endpoint).registry("p", "development"),
        lambda: FileUploads(uploads=uploads).text(b"plan"),
        lambda: describe(endpoint, bearer(), ("p", "development")),
    )


def test_a_job_shows_its_identity_for_the_audience(github: Idp) -> None:
    first = bearer()
    assert first.count(".") == 2
    assert bearer() == first
    assert github.asked == [f"{JOBS}&audience=builds"]
    assert "rules of the service" in advice(known=False)


def test_an_identity_that_ends_soon_is_asked_for_anew(github: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = Idp.token
    monkeypatch.setattr(Idp, "token", lambda self, **claims: signed(self, exp=int(time.time()) + 30, **claims))
    bearer()
    bearer()
    assert len(github.asked) == 2


def test_a_given_token_is_shown_before_an_identity(github: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_BUILD_TOKEN", "given")
    assert bearer() == "given"
    assert github.asked == []


def test_a_job_without_the_right_is_told_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert "id-token: write" in advice(known=False)


def test_no_token_is_shown_where_a_client_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_BUILD_TOKEN", "hush-hush")
    assert "hush" not in repr(BuildsClient(endpoint=Endpoint(url="http://127.0.0.1:1")))
