"""The key that a job signs with: what goes together, what is refused, and where the key is meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from flyte_build.registry.errors import InvalidInput, SigningMissing
from flyte_build.worker.cli.ci import ci
from flyte_build.worker.github.inputs import PREFIX
from flyte_build.worker.github.signing import signing_key

KEY = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nbody-of-the-key\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----"
ASKS = {"ACTIONS_ID_TOKEN_REQUEST_URL": "https://x", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "y"}


@pytest.fixture
def programs(tmp_path: Path) -> str:
    """A PATH with something that is called cosign."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cosign").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "cosign").chmod(0o755)
    return str(tmp_path / "bin")


def given(**inputs: str) -> dict[str, str]:
    return {f"{PREFIX}{name.upper()}": value for name, value in inputs.items()}


def test_a_key_is_in_a_file_of_this_user_only_and_nowhere_else(tmp_path: Path, programs: str) -> None:
    environ = given(sign="key", signing_key=KEY, signing_password="s3cret") | {"PATH": programs}
    with signing_key(environ, tmp_path) as file:
        assert Path(file).read_text() == f"{KEY}\n"
        assert Path(file).stat().st_mode & 0o777 == 0o600
        assert environ == {"PATH": programs, f"{PREFIX}SIGN": file, "COSIGN_PASSWORD": "s3cret"}
    assert not Path(file).exists()
    assert [one.name for one in tmp_path.iterdir()] == ["bin"], "it was never on a disk"


@pytest.mark.parametrize("sign", ["keyless", "keys/cosign.key", "env://COSIGN", "awskms:///alias/x"])
def test_what_is_no_input_stays_as_it_is(tmp_path: Path, programs: str, sign: str) -> None:
    environ = given(sign=sign) | ASKS | {"PATH": programs}
    before = dict(environ)
    with signing_key(environ, tmp_path) as file:
        assert (file, environ) == ("", before)


@pytest.mark.parametrize("mode", ["check", "build-only"])
def test_where_nothing_is_pushed_no_key_is_needed(tmp_path: Path, mode: str) -> None:
    environ = given(sign="key", signing_key="", mode=mode)
    with signing_key(environ, tmp_path) as file:
        assert file == ""


@pytest.mark.parametrize(
    ("inputs", "sentence", "hint"),
    [
        ({"sign": "key"}, "'signing-key' of the action is empty, and 'sign' asks", "a secret that this job has"),
        ({"sign": "key", "signing_key": "cosign.key"}, "'signing-key' of the action is no key in PEM", "cosign.key"),
        ({"sign": "keyless", "signing_key": KEY}, "goes with 'sign: key' only", "give sign: key"),
        ({"signing_key": KEY}, "goes with 'sign: key' only", "give sign: key"),
        ({"sign": KEY}, "'sign' of the action holds a key", "give it as `signing-key`"),
        ({"sign": "keyless"}, "is keyless, and this job may not ask GitHub", "permissions: id-token: write"),
    ],
)
def test_inputs_that_do_not_go_together_are_a_sentence(
    tmp_path: Path, programs: str, inputs: dict[str, str], sentence: str, hint: str
) -> None:
    with (
        pytest.raises(InvalidInput, match=sentence) as refused,
        signing_key(given(**inputs) | {"PATH": programs}, tmp_path),
    ):
        pass
    assert hint in refused.value.hint
    assert "body-of-the-key" not in f"{refused.value}{refused.value.hint}"


def test_without_cosign_it_says_which_action_brings_it(tmp_path: Path) -> None:
    environ = given(sign="awskms:///alias/x") | {"PATH": str(tmp_path)}
    with pytest.raises(SigningMissing) as refused, signing_key(environ, tmp_path):
        pass
    assert "sigstore/cosign-installer" in refused.value.hint


def test_key_and_password_are_masked_before_anything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in given(sign=KEY, signing_key=KEY, signing_password="s3cret").items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(ci)
    assert done.exit_code == 1
    assert done.output.startswith("::add-mask::")
    assert "::add-mask::s3cret\n" in done.output
    assert "::add-mask::body-of-the-key\n" in done.output
    assert "body-of-the-key" not in done.output.replace("::add-mask::body-of-the-key", "")
