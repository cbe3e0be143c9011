"""`flyte-build images`: names that cannot be meant, and images that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.registry.doubles import Says, faulty_registry, serve_image
from tests.registry.images import config_of

from flyte_build.registry.descriptors import OCI_INDEX
from flyte_build.registry.errors import RegistryMissing
from flyte_build.worker.cli.images import images


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        pytest.param(["list", "ghcr.io/acme/x:v1"], "is not a repository name", id="list of one image"),
        pytest.param(["prune", "ghcr.io/Acme/x"], "is not a repository name", id="prune of upper case"),
        pytest.param(["inspect", "ghcr.io/acme/x@sha256:abc"], "is not a digest", id="inspect of a short digest"),
        pytest.param(["prune", "ghcr.io/acme/x", "--keep-digest", "abc"], "is not a digest", id="keep no digest"),
        pytest.param(["list", "a:s3cret@ghcr.io/acme/x"], "--password-stdin", id="a password in the name"),
    ],
)
def test_a_name_that_cannot_be_meant_is_a_usage_error(argv: list[str], sentence: str) -> None:
    done = CliRunner().invoke(images, argv)
    assert (done.exit_code, sentence in done.output, "s3cret" in done.output) == (2, True, False)


@pytest.mark.parametrize(
    ("written", "named"),
    [
        pytest.param("acme/x", "acme/x:latest", id="no tag, which means latest"),
        pytest.param("acme/x:v2", "acme/x:v2", id="a tag"),
    ],
)
def test_inspecting_what_is_not_there_says_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, named: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with faulty_registry() as faulty:
        faulty.says("/v2/", Says(200))
        done = CliRunner().invoke(images, ["inspect", f"{faulty.registry}/{written}"])
    error = done.exception
    assert isinstance(error, RegistryMissing)
    assert error.sentence == f"there is no image {faulty.registry}/{named}"
    assert error.hint == f"`flyte-build images list {faulty.registry}/acme/x` says what is there"


@pytest.mark.parametrize(
    "listed",
    [b"{", b"[" * 100_000, b'{"schemaVersion": 2}', b'{"schemaVersion": 2, "manifests": [{"digest": "../x"}]}'],
    ids=["half a document", "nested deeply", "no list", "no digest"],
)
def test_a_registry_that_lists_nonsense_hides_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: bytes
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with faulty_registry() as faulty:
        faulty.says("/v2/", Says(200))
        digest = serve_image(faulty, "acme/x", "v1", config_of())
        faulty.says(f"/v2/acme/x/referrers/{digest}", Says(200, listed, (("content-type", OCI_INDEX),)))
        done = CliRunner().invoke(images, ["inspect", f"{faulty.registry}/acme/x:v1"])
    assert done.exit_code == 0, done.exception
    assert "  platforms  linux/amd64\n" in done.stdout
    assert [line[:24] for line in done.stdout.splitlines() if "  attached " in line] == ["  attached   not known: "]


def test_pruning_nothing_says_where_the_reasons_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with faulty_registry() as faulty:
        faulty.says("/v2/", Says(200))
        faulty.says("/v2/acme/x/tags/list", Says(200, b'{"name": "acme/x", "tags": ["v1"]}'))
        serve_image(faulty, "acme/x", "v1", config_of())
        done = CliRunner().invoke(images, ["prune", f"{faulty.registry}/acme/x"])
    assert done.exit_code == 0, done.exception
    assert done.stderr == "0 removed, 1 stay; --dry-run says why\n"
