"""Which token a build service is shown: read anew while a build goes on, because such tokens live for minutes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.worker.oidc import JOBS, MAY_ASK, Idp, idp

from flyte_build.registry.errors import InvalidInput
from flyte_build.worker.client.bearer import advice, bearer
from flyte_build.worker.client.builds import BuildsClient


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
    assert advice() == "set FLYTE_BUILD_TOKEN"


def test_a_file_is_read_at_every_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    monkeypatch.setenv("FLYTE_BUILD_TOKEN_FILE", str(file))
    monkeypatch.setenv("FLYTE_BUILD_TOKEN", "old")
    for text in ("one\n", "two"):
        file.write_text(text, encoding="utf-8")
        assert bearer() == text.strip()
    file.unlink()
    with pytest.raises(InvalidInput, match="cannot be read"):
        bearer()


def test_a_job_shows_its_identity_for_the_audience(github: Idp) -> None:
    first = bearer()
    assert first.count(".") == 2
    assert bearer() == first
    assert github.asked == [f"{JOBS}&audience=builds"]
    assert "rules of the service" in advice()


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
    assert "id-token: write" in advice()


def test_no_token_is_shown_where_a_client_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    from flyte_build.bundler.endpoint import Endpoint

    monkeypatch.setenv("FLYTE_BUILD_TOKEN", "hush-hush")
    assert "hush" not in repr(BuildsClient(endpoint=Endpoint(url="http://127.0.0.1:1")))
