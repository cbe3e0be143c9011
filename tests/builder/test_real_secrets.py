"""What a build needs and an image must never hold: searched for in every byte of what was pushed."""

from __future__ import annotations

import gzip
import json
import subprocess
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from tests.builder.building import Built, Workshop
from tests.builder.doubles import write

from flyte_build.builder.engine import BuildOptions
from flyte_build.builder.machine import find_machine
from flyte_build.builder.spec import SecretMount

pytestmark = pytest.mark.real

SHOW = (
    'test -r $SSL_CERT_FILE && test -r $NETRC && test -n "$UV_DEFAULT_INDEX" && test -n "$UV_INDEX"'
    ' && test -n "$TOKEN" && test -n "$HTTPS_PROXY" && mkdir -p /made && echo $SHOWN > /made/here'
)


def blobs(built: Built, folder: Path) -> dict[str, bytes]:
    """Everything that was pushed, by name: manifest, configuration, and every file of every layer of ours."""
    layout = folder / "layout"
    subprocess.run(
        ["crane", "pull", "--format=oci", str(built.reference), str(layout)],
        capture_output=True,
        timeout=300,
        check=True,
    )
    found = {}
    for file in sorted((layout / "blobs/sha256").iterdir()):
        found[file.name] = _unpacked(file.read_bytes())
    return found


def _unpacked(data: bytes) -> bytes:
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


def test_no_fact_of_the_machine_is_in_any_layer_configuration_or_history(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = find_machine()
    assert machine.ca is not None, "a CA bundle is needed to prove that it stays outside"
    canary = {name: f"canary{uuid.uuid4().hex}" for name in ("ca", "netrc", "index", "extra", "secret", "proxy")}
    ca = write(tmp_path, {"ca.pem": f"# {canary['ca']}\n{machine.ca.read_text(encoding='utf-8')}"}) / "ca.pem"
    (tmp_path / "netrc").write_text(f"machine a.test login me password {canary['netrc']}\n", encoding="utf-8")
    proxies = {"default": {"httpsProxy": f"http://me:{canary['proxy']}@127.0.0.1:9"}}
    docker = write(tmp_path / "docker", {"config.json": json.dumps({"proxies": proxies})})
    monkeypatch.setenv("DOCKER_CONFIG", str(docker))
    (tmp_path / "secret").write_text(canary["secret"], encoding="utf-8")
    options = BuildOptions(
        machine=replace(
            machine,
            ca=ca,
            netrc=tmp_path / "netrc",
            index_url=f"http://me:{canary['index']}@127.0.0.1:9/simple",
            extra_index_urls=(f"http://me:{canary['extra']}@127.0.0.1:9/simple",),
        ),
        secrets={"token": tmp_path / "secret"},
    )
    spec = workshop.spec().with_env({"SHOWN": workshop.name})
    spec = spec.with_commands(SHOW, secrets=(SecretMount(name="token", env="TOKEN"),))
    built = workshop.build(spec, options)
    pushed = blobs(built, tmp_path)
    # The configuration and a layer: what is in them is found.
    assert sum(workshop.name.encode() in data for data in pushed.values()) >= 2
    for what, value in canary.items():
        holding = [name for name, data in pushed.items() if value.encode() in data]
        assert holding == [], what
    said = json.dumps([repr(event) for event in built.events])
    assert not any(value in said for value in canary.values())


def test_the_ca_that_a_real_install_used_is_not_in_the_image(workshop: Workshop, tmp_path: Path) -> None:
    machine = find_machine()
    assert machine.ca is not None, "a CA bundle is needed to prove that it stays outside"
    mark = f"canary{uuid.uuid4().hex}".encode()
    ca = tmp_path / "ca.pem"
    ca.write_bytes(b"# " + mark + b"\n" + machine.ca.read_bytes())
    spec = workshop.spec().with_env({"UNIQUE": workshop.name}).with_apt("file").with_pip("six")
    built = workshop.build(spec, BuildOptions(machine=replace(machine, ca=ca)))
    assert workshop.run(built, "python", "-c", "import six") == ""
    assert not any(mark in data for data in blobs(built, tmp_path).values())


def test_another_ca_or_index_neither_changes_the_name_nor_spoils_the_cache(workshop: Workshop, tmp_path: Path) -> None:
    machine = find_machine()
    assert machine.ca is not None
    other = tmp_path / "other.pem"
    other.write_bytes(machine.ca.read_bytes() + b"\n# another day\n")
    spec = workshop.spec().with_commands(f"echo {workshop.name}")
    first = workshop.build(spec, BuildOptions(machine=machine))
    again = workshop.build(
        spec, BuildOptions(machine=replace(machine, ca=other, index_url="http://127.0.0.1:9/simple"))
    )
    assert again.cached()[f"command: echo {workshop.name}"] is True
    assert again.image.digest == first.image.digest
