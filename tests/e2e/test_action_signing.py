"""The Action that signs: the key is an input from a secret, and somebody else's cosign says whose the signature is."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import run
from tests.e2e.repository import ROOT, Project, example, hides_secrets

pytestmark = pytest.mark.real

PASSWORD = "canary-77d0-of-the-key"
INPUTS = """cache: registry
          sign: key
          signing-key: ${{ secrets.SIGNING_KEY }}
          signing-password: ${{ secrets.SIGNING_PASSWORD }}
          tlog: false"""
SECRETS = ("--no-cache-server", "--secret", "SIGNING_KEY", "--secret", "SIGNING_PASSWORD")
NOT_LOGGED = ("--insecure-ignore-tlog=true", "--allow-http-registry=true")


@pytest.fixture
def project(tmp_path: Path, action: Path, where: str) -> Project:
    return example("images.yml", folder=tmp_path / "repository", action=action, registry=where)


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The private key, as act finds it for the secret; the public one is in the folder."""
    made = run("cosign", "generate-key-pair", cwd=tmp_path, env={"COSIGN_PASSWORD": PASSWORD})
    assert made.code == 0, made.err
    text = (tmp_path / "cosign.key").read_text()
    (tmp_path / "cosign.key").unlink()
    monkeypatch.setenv("SIGNING_KEY", text)
    monkeypatch.setenv("SIGNING_PASSWORD", PASSWORD)
    monkeypatch.setenv("RUNNER_TEMP", str(tmp_path))
    return text


def test_a_merge_signs_with_the_key_of_a_secret_and_leaves_none_behind(
    project: Project, parts: Parts, key: str, tmp_path: Path
) -> None:
    project.change("cache: registry", INPUTS)
    project.spec(parts, "six==1.16.0")
    asked = project.act("pull_request", *SECRETS)
    assert asked.code == 0, asked.out + asked.err

    merged = project.act("push", *SECRETS)
    assert merged.code == 0, merged.out + merged.err
    pinned = re.search(rf"deployed ({project.registry}/trial@sha256:[0-9a-f]{{64}})", merged.out)
    assert pinned, merged.out
    assert "::set-output:: signed=true" in merged.out
    assert re.search(r"\| \*\*trial\*\* built \|.+\| yes \|", merged.out)
    for kind in ("verify", "verify-attestation"):
        argv = ("--type", "slsaprovenance1") if kind == "verify-attestation" else ()
        said = run("cosign", kind, *argv, "--key", tmp_path / "cosign.pub", *NOT_LOGGED, pinned[1])
        assert said.code == 0, said.err
    hides_secrets(merged)
    body = [line for line in key.splitlines() if line and not line.startswith("-----")]
    assert body
    assert not any(line in merged.out + merged.err for line in (*body, PASSWORD))
    for folder, _, names in os.walk(tmp_path):
        files = (Path(folder, name) for name in names)
        assert not [file for file in files if file.is_file() and body[0].encode() in file.read_bytes()]

    again = project.act("push", *SECRETS)
    assert "::set-output:: built=false" in again.out, again.out + again.err
    assert "::set-output:: signed=true" in again.out


def test_what_was_built_unsigned_is_told_and_signed_when_a_key_is_given(
    project: Project, parts: Parts, key: str, tmp_path: Path
) -> None:
    project.spec(parts, "six==1.15.0")
    before = project.act("push")
    assert before.code == 0, before.out + before.err
    assert "::set-output:: signed=false" in before.out
    project.change("cache: registry", INPUTS)
    after = project.act("push", *SECRETS)
    assert after.code == 0, after.out + after.err
    assert "::set-output:: signed=true" in after.out
    assert key.splitlines()[1] not in after.out


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        (INPUTS.replace("secrets.SIGNING_KEY", "secrets.NO_SUCH"), "the input 'signing-key' of the action is empty"),
        (INPUTS.replace("secrets.SIGNING_PASSWORD", "'guess'"), "the password of the key `signing-key` is wrong"),
        (
            "sign: keyless",
            "the input 'sign' of the action is keyless, and this job may not ask GitHub for an identity token",
        ),
    ],
    ids=["no secret of that name", "another password", "no right to an identity"],
)
def test_a_key_that_cannot_be_used_is_told_before_anything_is_built(
    project: Project, parts: Parts, key: str, inputs: str, sentence: str
) -> None:
    del key
    project.change("cache: registry", inputs)
    project.spec(parts, "six==1.16.0")
    done = project.act("push", *SECRETS)
    assert done.code != 0
    assert f"::error title=flyte-build::{sentence}" in done.out.replace("%60", "`"), done.out
    assert "deployed" not in done.out
    assert run("crane", "ls", f"{project.registry}/trial").code != 0


def test_the_page_pins_cosigns_installer_as_our_release_does() -> None:
    used = re.compile(r"uses: (sigstore/cosign-installer@[0-9a-f]{40})")
    places = (".github/workflows/release.yml", "docs/how-to/github-action.md")
    pins = [set(used.findall((ROOT / place).read_text(encoding="utf-8"))) for place in places]
    assert pins[0] == pins[1]
    assert len(pins[0]) == 1
