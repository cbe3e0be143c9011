"""What `flyte-build images` says of images that were signed twice or never, and of what strangers attached."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import BIN, Done, run
from tests.e2e.trust import Build, attach
from tests.terminal import on_terminal

from flyte_build.registry.client import RegistryClient
from flyte_build.registry.descriptors import OCI_INDEX
from flyte_build.registry.names import ImageReference
from flyte_build.registry.referrers import fallback_tag, signature_tag

pytestmark = pytest.mark.real

INSTALLED = "application/vnd.flyte-build.installed.v1+json"


def inspect(image: str, *flags: str) -> Done:
    done = run("flyte-build", "images", "inspect", image, *flags)
    assert done.code == 0, done.out + done.err
    return done


def lines(done: Done, word: str) -> list[str]:
    """What follows the word at the begin of a line."""
    return [line.split(maxsplit=1)[1] for line in done.out.splitlines() if line.startswith(f"  {word} ")]


def test_what_was_built_and_signed_twice_has_each_kind_once(build: Build) -> None:
    image = build()
    assert build("--force") == image
    done = inspect(image)
    kinds = [line.split()[1].rstrip(",") for line in lines(done, "attached")]
    assert kinds == sorted(set(kinds))
    assert len(kinds) == 5
    again = [line for line in lines(done, "attached") if "1 older" in line]
    assert len(again) == 3, "log, provenance and bill of each build"
    said = json.loads(inspect(image, "--json").out)["image"]
    assert len(said["attached"]) == 8, "programs hear of all"
    logs = [one for one in said["attached"] if one["artifact_type"] == "application/vnd.flyte-build.log.v1"]
    newest = max(logs, key=lambda one: str(one["annotations"]["org.opencontainers.image.created"]))
    assert f"  attached   {newest['digest']} {newest['artifact_type']}, of " in done.out


def test_it_says_whether_it_is_signed_and_how_to_find_out_by_whom(build: Build) -> None:
    image = build(signed=False)
    assert lines(inspect(image), "signed") == ["no"]
    assert json.loads(inspect(image, "--json").out)["image"]["signed"] == {"signatures": 0, "attestations": 0}
    assert build() == image
    how = f"by whom: `flyte-build verify {image} --key KEY`"
    assert lines(inspect(image), "signed") == [f"1 signature, 2 attestations; {how}"]
    assert json.loads(inspect(image, "--json").out)["image"]["signed"] == {"signatures": 1, "attestations": 2}


def test_a_list_that_nobody_can_read_is_one_line_and_the_rest_is_there(build: Build) -> None:
    image = ImageReference.parse(build())
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "subject": "nobody"}
    tag = fallback_tag(image)
    RegistryClient().manifests.put(image.repository, json.dumps(index).encode(), OCI_INDEX, tag)
    done = inspect(str(image))
    (attached,) = lines(done, "attached")
    assert attached.startswith("not known: ")
    assert lines(done, "platforms") == ["linux/amd64"]
    assert lines(done, "signed")[0].startswith("1 signature, 2 attestations; ")
    assert json.loads(inspect(str(image), "--json").out)["image"]["unlisted"]
    listed = run("flyte-build", "images", "list", str(image.repository))
    assert listed.out.startswith(f"{image}  ")
    assert f"what is attached to {image} cannot be read: " in listed.err
    kept = run("flyte-build", "images", "prune", str(image.repository), "--dry-run", "--json")
    assert [one["why"] for one in json.loads(kept.out)["kept"]] == ["what is attached to it cannot be read"]


def test_what_is_no_list_of_packages_and_no_signature_is_said_beside_the_rest(build: Build, tmp_path: Path) -> None:
    image = build(layers=('pip = ["six==1.16.0"]',), signed=False)
    attach(tmp_path, image, INSTALLED, {"garbage": True})
    reference = ImageReference.parse(image)
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "subject": "x"}).encode()
    RegistryClient().manifests.put(reference.repository, body, OCI_INDEX, signature_tag(reference))
    done = inspect(image)
    assert "    pypi   six 1.16.0" in done.out
    assert [line for line in lines(done, "installed") if "is no list of packages: " in line] != []
    assert lines(done, "signed")[0].startswith("not known: ")
    assert json.loads(inspect(image, "--json").out)["image"]["signed"] is None


def test_columns_are_named_on_a_terminal_and_nowhere_else(parts: Parts) -> None:
    repository = parts.base.rpartition(":")[0]
    piped = run("flyte-build", "images", "list", repository).out.splitlines()
    drawn = on_terminal(BIN / "flyte-build", "images", "list", repository)
    begin = next(number for number, line in enumerate(drawn) if line.startswith("IMAGE"))
    named, first = drawn[begin : begin + 2]
    assert first == piped[0]
    assert not any(line.startswith("IMAGE") for line in piped)
    assert named.split() == ["IMAGE", "CREATED", "SIZE", "SPEC", "TAGS"]
    assert named.index("CREATED") == first.index(" 20") + 1
    assert named.index("TAGS") == first.rindex("  ") + 2
