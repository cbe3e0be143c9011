"""Who signs what: images and what is said of them, by the command line and by a service; and what signing lacks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import BIN, run, serving
from tests.e2e.test_image import spec_file
from tests.e2e.trust import (
    OFFLINE,
    PASSWORD,
    Build,
    Key,
    attested,
    verify,
)
from tests.terminal import on_terminal

pytestmark = pytest.mark.real


def test_only_what_was_built_here_is_signed(build: Build, key: Key, where: str, tmp_path: Path) -> None:
    image = build(signed=False)
    signing = ("--sign", key.private, "--no-tlog")
    checked = run("flyte-build", "image", tmp_path, "--registry", where, "--check", *signing, env=PASSWORD)
    assert checked.code == 3, "what a build would make anew is missing"
    assert f"{image} is there, and not signed by us" in checked.err
    assert run("cosign", "verify", "--key", key.public, OFFLINE, image).code != 0
    again = build("--json")
    assert json.loads(again)["images"][0]["status"] == "built", "what exists unsigned is built again, from the cache"
    assert verify(image, key=key).code == 0
    assert json.loads(build("--json"))["images"][0]["status"] == "exists"
    assert run("flyte-build", "image", tmp_path, "--registry", where, "--check", *signing, env=PASSWORD).code == 0


LAST = {
    "listing what is installed",
    "signing provenance",
    "attaching what is kept of the build",
    "signing bill of materials",
    "signing the image",
}


def ended(lines: Iterable[str]) -> set[str]:
    """The steps that ended well, with their time."""
    return {found[1].strip() for line in lines if (found := re.match(r"  ✓ +\d+\.\ds (.*)", line))}


def test_what_follows_the_last_layer_is_told_as_steps(
    tmp_path: Path, parts: Parts, where: str, key: Key, fresh_name: str
) -> None:
    def asked(mode: str) -> tuple[str | Path, ...]:
        # Of an image whose layers are known nothing needs to be listed.
        file = spec_file(tmp_path, parts, f'commands = ["echo {mode} {fresh_name} > /made"]')
        return ("image", file, "--registry", where, "--sign", key.private, "--no-tlog", "--progress", mode)

    plain = run("flyte-build", *asked("plain"), env=PASSWORD).err
    assert ended(plain.splitlines()) > LAST, plain
    said = [json.loads(line) for line in run("flyte-build", *asked("json"), env=PASSWORD).err.splitlines()]
    begun, over = ({one["title"] for one in said if one["event"] == event} for event in ("StepStarted", "StepEnded"))
    assert (begun > LAST, over > LAST) == (True, True), said
    drawn = on_terminal(BIN / "flyte-build", *asked("auto"), env=PASSWORD)
    assert ended(drawn) > LAST, drawn
    assert run("flyte-build", *asked("quiet"), env=PASSWORD).err == ""


@pytest.mark.parametrize(
    ("flags", "environment", "sentence"),
    [
        pytest.param(("--sign", "no.key"), {}, "there is no key no.key to sign with", id="no key"),
        pytest.param(
            ("--sign", "{key}"), {"COSIGN_PASSWORD": "x"}, "the password of the key {key} is wrong", id="password"
        ),
        pytest.param(("--sign", "env://NOPE"), {}, "cosign cannot use the key env://NOPE", id="no variable"),
        pytest.param(("--sign", "{key}"), {"PATH": "/nowhere"}, "there is none on PATH", id="no cosign"),
        pytest.param(("--sign", "keyless"), {"PATH": "/nowhere"}, "there is none on PATH", id="no cosign, keyless"),
    ],
)
def test_what_signing_lacks_is_one_sentence_before_anything_is_built(
    tmp_path: Path,
    parts: Parts,
    where: str,
    key: Key,
    flags: tuple[str, ...],
    environment: dict[str, str],
    sentence: str,
) -> None:
    file = spec_file(tmp_path, parts, 'env = { A = "1" }')
    signing = [flag.format(key=key.private) for flag in flags]
    done = run("flyte-build", "image", file, "--registry", where, "--no-tlog", *signing, env=PASSWORD | environment)
    assert (done.code, done.out, "Traceback" in done.err) == (1, "", False)
    assert sentence.format(key=key.private) in done.err
    assert run("crane", "ls", f"{where}/trial").code != 0, "nothing was pushed"


def test_a_signature_that_cannot_be_made_is_an_error_and_the_image_stays(
    tmp_path: Path, parts: Parts, where: str, key: Key
) -> None:
    file = spec_file(tmp_path, parts, 'env = { A = "1" }')
    # With the log, which nobody reaches here.
    signing = ("--sign", key.private, "--tlog")
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    done = run("flyte-build", "image", file, "--registry", where, *signing, env=PASSWORD | nowhere)
    assert (done.code, done.out) == (1, "")
    assert "was pushed and is not signed: cosign attest says" in done.err
    assert "builds from the cache and signs; where the transparency log cannot be reached, add --no-tlog" in done.err
    again = run("flyte-build", "image", file, "--registry", where, "--sign", key.private, "--no-tlog", env=PASSWORD)
    assert again.code == 0, again.err
    assert verify(again.out.strip(), key=key).code == 0


def test_what_a_service_signs_is_signed_when_its_name_is_known(
    tmp_path: Path, parts: Parts, where: str, key: Key, fresh_name: str
) -> None:
    file = spec_file(tmp_path, parts, f'commands = ["echo {fresh_name} > /made"]')
    with serving(tmp_path / "state", where, "--sign", key.private, "--no-tlog", env=PASSWORD) as service:
        remote = ("--engine", "remote", "--endpoint", service.url, "--json")
        done = run("flyte-build", "image", file, *remote)
        assert done.code == 0, done.err
        assert ended(done.err.splitlines()) > LAST, done.err
        image = json.loads(done.out)["images"][0]["pinned"]
        assert verify(image, key=key).code == 0
        assert "exists" in run("flyte-build", "image", file, *remote).out
        listed = json.loads(run("flyte-build", "builds", "list", "--endpoint", service.url, "--json").out)
        first = next(one["id"] for one in listed["builds"] if one["status"] == "built")
        log = run("flyte-build", "builds", "logs", first, "-f", "--endpoint", service.url)
        assert ended((log.out + log.err).splitlines()) > LAST, log
    said = attested(image, "slsaprovenance1", key)["predicate"]["runDetails"]  # type: ignore[index] # a statement
    assert said["builder"]["id"].endswith("#service")
    # cosign writes it as `invocationID`.
    named = {key.lower(): value for key, value in said["metadata"].items()}["invocationid"]
    assert named in {one["id"] for one in listed["builds"]}


def test_a_service_whose_key_cannot_be_used_does_not_start(parts: Parts, tmp_path: Path, key: Key) -> None:
    argv = ("serve", "--port", "0", "--state", tmp_path, "--registry", f"{parts.registry}/x", "--sign", key.private)
    done = run("flyte-build", *argv, env={"COSIGN_PASSWORD": "wrong"}, timeout=60)
    assert (done.code, f"the password of the key {key.private} is wrong" in done.err) == (1, True), done.err


def test_doctor_says_whether_there_is_what_signs(tmp_path: Path) -> None:
    signing = {"FLYTE_BUILD_SIGN": "awskms:///alias/x"}
    assert "✓ signing    cosign, with awskms:///alias/x" in run("flyte-build", "doctor", cwd=tmp_path, env=signing).out
    lacking = run("flyte-build", "doctor", cwd=tmp_path, env=signing | {"PATH": "/nowhere"})
    assert (lacking.code, "✗ signing    signatures need the program cosign" in lacking.out) == (1, True)


@pytest.mark.parametrize(
    "flags",
    [
        ("--key", "nothing.pub"),
        ("--certificate-identity", "a@b"),
        ("--key", "env://A", "--certificate-identity", "a@b", "--certificate-oidc-issuer", "https://c"),
    ],
)
def test_flags_that_make_no_sense_are_usage_errors(flags: tuple[str, ...]) -> None:
    assert run("flyte-build", "verify", "ghcr.io/acme/train:1", *flags).code == 2
