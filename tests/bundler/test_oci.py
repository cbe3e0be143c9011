"""Bundles in a real registry."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.conftest import Parts

from flyte_build.bundler.archive import Archive, archive
from flyte_build.bundler.fetch import BundleCache
from flyte_build.bundler.oci import BUNDLE_TYPE, RegistryUploads, fetch_from_registry, repository_of
from flyte_build.bundler.receive import extract
from flyte_build.bundler.tree import SourceTree, list_tree
from flyte_build.bundler.upload import upload
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.errors import ArchiveError, InvalidInput, RegistryMissing
from flyte_build.worker.cli.main import run

from . import trees


@pytest.fixture
def bundle(tmp_path: Path) -> Archive:
    root = trees.make(tmp_path / "t", {"main.py": "print()", "data.bin": bytes(range(256)) * 500})
    return archive(list_tree(SourceTree(root=root)).manifest, root, tmp_path / "b.tar.gz")


@pytest.mark.real
def test_a_bundle_is_pushed_once_and_comes_back(bundle: Archive, parts: Parts, fresh_name: str, tmp_path: Path) -> None:
    client = RegistryClient()
    uploads = RegistryUploads(client=client, repository=repository_of(f"oci://{parts.registry}/{fresh_name}"))
    first = upload(lambda: (bundle.parcel, bundle.path), uploads, bundle.parcel)
    second = upload(lambda: pytest.fail("made again"), uploads, bundle.parcel)
    assert (first.uploaded, second.uploaded) == (True, False)
    assert first.uri == second.uri
    assert first.uri.startswith(f"oci://{parts.registry}/{fresh_name}@sha256:")
    cache = BundleCache(folder=tmp_path / "cache")
    with cache.archive(bundle.parcel.digest, lambda to: fetch_from_registry(client, first.uri, to)) as path:
        assert extract(path, tmp_path / "out", expected=bundle.parcel.digest) == bundle.manifest
    said = subprocess.run(
        ["crane", "manifest", "--insecure", first.uri.removeprefix("oci://")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(said.stdout)["artifactType"] == BUNDLE_TYPE


@pytest.mark.real
def test_what_is_not_there_or_no_bundle_is_named(parts: Parts, fresh_name: str, tmp_path: Path) -> None:
    client = RegistryClient()
    with pytest.raises(RegistryMissing):
        fetch_from_registry(client, f"oci://{parts.registry}/{fresh_name}:x", tmp_path / "x")
    with pytest.raises(Exception, match="bundle") as caught:
        fetch_from_registry(client, f"oci://{parts.base}", tmp_path / "x")
    assert not isinstance(caught.value, ArchiveError)
    assert not (tmp_path / "x").exists()


@pytest.mark.real
def test_the_command_pushes_to_a_registry(
    tmp_path: Path, parts: Parts, fresh_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = trees.make(tmp_path / "t", {"main.py": "print()"})
    for done in (", uploaded", "already uploaded"):
        assert run(["bundle", str(root), "--store", f"oci://{parts.registry}/{fresh_name}"]) == 0
        said = capsys.readouterr()
        assert said.out.startswith(f"oci://{parts.registry}/{fresh_name}@sha256:")
        assert done in said.err


@pytest.mark.parametrize("text", ["ghcr.io/acme/x", "s3://bucket", "oci://", "oci://UPPER/x"])
def test_what_is_no_registry_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        repository_of(text)
