"""Keys of cosign's, images that are signed, and what somebody else's tools see of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.conftest import Done, run

PASSWORD = {"COSIGN_PASSWORD": "correct horse"}
OFFLINE = "--insecure-ignore-tlog=true"
SBOM, STATEMENT = "application/vnd.cyclonedx+json", "application/vnd.in-toto+json"
PLAN = "application/vnd.flyte-build.plan.v1+json"
SLSA = "https://slsa.dev/provenance/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A pair of cosign's own making."""

    private: Path
    public: Path


def new_key(folder: Path) -> Key:
    folder.mkdir(exist_ok=True)
    made = run("cosign", "generate-key-pair", cwd=folder, env=PASSWORD)
    assert made.code == 0, made.err
    return Key(private=folder / "cosign.key", public=folder / "cosign.pub")


Build = Callable[..., str]


def verify(image: str, *flags: str | Path, key: Key | None = None) -> Done:
    signed = ("--key", key.public, "--no-tlog") if key else ()
    return run("flyte-build", "verify", image, *signed, *flags)


def failed(done: Done) -> set[str]:
    """The checks that did not hold, of a document."""
    assert (done.code, "Traceback" in done.err) == (1, False), done.out + done.err
    return {one["check"] for one in json.loads(done.out)["checks"] if one["status"] not in ("ok", "unchecked")}


def referrers(image: str) -> dict[str, str]:
    """What somebody else's tool sees: digest by type."""
    found = json.loads(run("oras", "discover", "--plain-http", "--format", "json", image).out)
    return {one["artifactType"]: one["digest"] for one in found["manifests"]}


def discovered(image: str) -> list[str]:
    """The digests of all that is attached."""
    found = json.loads(run("oras", "discover", "--plain-http", "--format", "json", image).out)
    return [one["digest"] for one in found["manifests"]]


def content(image: str, kind: str) -> dict[str, object]:
    repository = image.partition("@")[0]
    manifest = json.loads(run("crane", "manifest", f"{repository}@{referrers(image)[kind]}").out)
    document: dict[str, object] = json.loads(
        run("crane", "blob", f"{repository}@{manifest['layers'][0]['digest']}").out
    )
    return document


def attach(folder: Path, image: str, kind: str, document: object) -> None:
    """As whoever may push can."""
    (folder / "other.json").write_text(json.dumps(document), encoding="utf-8")
    flags = ("--plain-http", "--disable-path-validation", "--artifact-type", kind)
    done = run("oras", "attach", *flags, image, f"other.json:{kind}", cwd=folder)
    assert done.code == 0, done.err


def attested(image: str, kind: str, key: Key) -> dict[str, object]:
    done = run("cosign", "verify-attestation", "--key", key.public, "--type", kind, OFFLINE, image)
    assert done.code == 0, done.err
    statement: dict[str, object] = json.loads(base64.b64decode(json.loads(done.out)["payload"]))
    return statement
