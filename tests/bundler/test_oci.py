"""Bundles in a real registry."""

from __future__ import annotations

import io
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import Parts

from flyte_build.bundler.archive import Archive, archive
from flyte_build.bundler.fetch import BundleCache, Wanted, fetch_bundle
from flyte_build.bundler.limits import ExtractLimits
from flyte_build.bundler.oci import BUNDLE_TYPE, RegistryUploads, fetch_from_registry, repository_of
from flyte_build.bundler.receive import extract
from flyte_build.bundler.tree import SourceTree, list_tree
from flyte_build.bundler.upload import upload
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.errors import ArchiveError, InvalidInput, RegistryMissing, RegistryProtocol
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
        # Not on a terminal.
        assert "uploading" not in said.err
    uri = said.out.strip()
    assert run(["bundles", "fetch", uri, str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "main.py").read_text() == "print()"
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'out'}\n"
    for wrong, why in (
        (uri, "is not empty"),
        (f"oci://{parts.registry}/{fresh_name}:x", "names no digest"),
        (f"oci://{parts.registry}/{fresh_name}@sha256:{'0' * 64}", "there is no manifest"),
        ("https://x", "is no bundle in a registry"),
    ):
        folder = tmp_path / ("out" if wrong == uri else "new")
        assert run(["bundles", "fetch", wrong, str(folder)]) == 1
        assert not (tmp_path / "new").exists()
        assert why in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.real
def test_a_terminal_shows_how_much_went_and_came(
    tmp_path: Path, parts: Parts, fresh_name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = trees.make(tmp_path / "t", {"data.bin": random.Random(1).randbytes(2_000_000)})
    drawn = Terminal()
    monkeypatch.setattr(sys, "stderr", drawn)
    assert run(["bundle", str(root), "--store", f"oci://{parts.registry}/{fresh_name}", "--no-cache"]) == 0
    sizes = re.findall(r"uploading ([0-9.]+ (?:B|KiB|MiB)) of 1.9 MiB", drawn.getvalue())
    assert len(sizes) > 1, "at the beginning and at the end at the least"
    assert sizes[-1] == "1.9 MiB"
    assert run(["bundles", "fetch", capsys.readouterr().out.strip(), str(tmp_path / "out")]) == 0
    assert re.findall(r"fetching ([0-9.]+ (?:B|KiB|MiB))\b", drawn.getvalue())[-1] == "1.9 MiB"
    assert (tmp_path / "out" / "data.bin").stat().st_size == 2_000_000


@pytest.mark.real
def test_a_bundle_in_a_registry_is_received_by_its_name(
    bundle: Archive, parts: Parts, fresh_name: str, tmp_path: Path
) -> None:
    uploads = RegistryUploads(client=RegistryClient(), repository=repository_of(f"oci://{parts.registry}/{fresh_name}"))
    uri = upload(lambda: (bundle.parcel, bundle.path), uploads, bundle.parcel).uri
    cache = BundleCache(folder=tmp_path / "cache")
    wanted = Wanted(digest=bundle.parcel.digest, url=uri)
    small = ExtractLimits(archive_bytes=10)
    with pytest.raises(RegistryProtocol, match="more than the 10 that are accepted"):
        fetch_bundle(wanted, tmp_path / "out", cache, small)
    assert fetch_bundle(wanted, tmp_path / "out", cache) == bundle.manifest


@pytest.mark.parametrize("text", ["ghcr.io/acme/x", "s3://bucket", "oci://", "oci://UPPER/x"])
def test_what_is_no_registry_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        repository_of(text)
