"""The processes of the manifests build an image: with an operator's parts, with a trial's, with BuildKit apart."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.builder.bridge import bridged, unix_listener
from tests.conftest import Parts
from tests.e2e.test_docs import blocks
from tests.kubernetes.processes import PROGRAM, RULES, TOKEN, Place, asked, running
from tests.kubernetes.rendered import Manifest
from tests.worker import clouds
from tests.worker.services import postgres, redis

pytestmark = pytest.mark.real


def test_production_builds_with_what_an_operator_has(
    folder: Path, tmp_path: Path, parts: Parts, fresh_name: str
) -> None:
    """PostgreSQL, Redis, a bucket, a registry, and a BuildKit at the socket beside the worker."""
    own = f"{parts.registry}/{fresh_name}"
    rules = f'{RULES}[[project]]\nname = "research"\nregistries = ["{own}"]\nbases = ["{parts.registry}"]\n'
    with ExitStack() as opened:
        database = postgres(tmp_path / "database").start()
        opened.callback(database.stop)
        broker = redis(tmp_path / "broker").start()
        opened.callback(broker.stop)
        bucket = opened.enter_context(clouds.s3(tmp_path / "s3"))
        opened.enter_context(bridged(unix_listener(folder / "buildkitd.sock")))
        variables = {
            "FLYTE_BUILD_DATABASE": database.url,
            "FLYTE_BUILD_BROKER": broker.url,
            "FLYTE_BUILD_REGISTRY": own,
            **_bucket(bucket),
        }
        place = Place(name="production", folder=folder, variables=variables, rules=rules)
        port = opened.enter_context(running(place, place.container("endpoint")))
        opened.enter_context(running(place, place.container("worker")))
        built = _build(port, tmp_path, parts, fresh_name)
        assert json.loads(asked(port, "/readyz")[1]) == {"ok": True, "missing": []}
    assert built.startswith(f"{own}/demo@sha256:")
    assert subprocess.run(["crane", "digest", built], capture_output=True, check=False).returncode == 0
    assert [file for file in (tmp_path / "s3" / "bucket").rglob("*") if file.is_file()], "nothing lies in the bucket"
    # The pod's root is read-only: what was written lies in its volumes.
    # (pip asks rustc for its version, which on some machines makes a folder to say it.)
    written = {file.name for file in folder.iterdir()} - {".rustup"}
    assert written == {"buildkitd.sock", "endpoint.log", "etc", "var", "worker.log"}


def test_the_trial_builds_with_what_its_processes_share(
    folder: Path, tmp_path: Path, parts: Parts, fresh_name: str
) -> None:
    """The store is a folder of both, as the volume is; nobody is asked for a token."""
    own = f"{parts.registry}/{fresh_name}"
    place = Place(name="trial", folder=folder, variables={"FLYTE_BUILD_REGISTRY": own})
    with ExitStack() as opened:
        opened.enter_context(bridged(unix_listener(folder / "buildkitd.sock")))
        port = opened.enter_context(running(place, place.container("endpoint")))
        opened.enter_context(running(place, place.container("worker")))
        assert _build(port, tmp_path, parts, fresh_name).startswith(f"{own}/demo@sha256:")
    assert [file for file in (folder / "var-shared" / "store").rglob("*") if file.is_file()]


def test_workers_build_with_a_buildkit_apart_by_the_certificates_of_the_guide(
    folder: Path, tmp_path: Path, parts: Parts, fresh_name: str
) -> None:
    own, made = f"{parts.registry}/{fresh_name}", tmp_path / "certificates"
    rules = f'{RULES}[[project]]\nname = "research"\nregistries = ["{own}"]\nbases = ["{parts.registry}"]\n'
    tls = _certificates(made)
    with ExitStack() as opened:
        bucket = opened.enter_context(clouds.s3(tmp_path / "s3"))
        listener = socket.create_server(("127.0.0.1", 0))
        opened.enter_context(bridged(listener, tls))
        place = Place(
            name="gke",
            folder=folder,
            variables={"FLYTE_BUILD_REGISTRY": own, **_bucket(bucket)},
            rules=rules,
            addresses={"flyte-build-buildkit:1234": f"localhost:{listener.getsockname()[1]}"},
        )
        worker = place.container("worker")
        _mount(worker.pod["volumes"], "buildkit-client", made, folder / "etc" / "buildkit")
        port = opened.enter_context(running(place, place.container("endpoint")))
        opened.enter_context(running(place, worker))
        assert _build(port, tmp_path, parts, fresh_name).startswith(f"{own}/demo@sha256:")


def _bucket(url: str) -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": clouds.KEY_ID, "AWS_SECRET_ACCESS_KEY": clouds.SECRET}
    return {"FLYTE_BUILD_STORE": f"s3://bucket/uploads?endpoint={url}", **keys}


def _certificates(folder: Path) -> ssl.SSLContext:
    """What the guide's commands make, of which the server's is also for this machine; as BuildKit would use them."""
    (block,) = [one for one in blocks("docs/how-to/connect-a-flyte.md") if "openssl" in one.text]
    folder.mkdir()
    script = block.text.replace("DNS:flyte-build-buildkit,", "DNS:localhost,DNS:flyte-build-buildkit,")
    subprocess.run(["bash", "-euc", script], cwd=folder, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "server.crt", folder / "server.key")
    tls.load_verify_locations(folder / "ca.crt")
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.set_alpn_protocols(["h2"])
    return tls


def _mount(volumes: list[Manifest], name: str, made: Path, place: Path) -> None:
    """The client's Secret, under the names that the volume gives its keys."""
    (volume,) = [one for one in volumes if one["name"] == name]
    keys = {"ca.crt": "ca.crt", "tls.crt": "client.crt", "tls.key": "client.key"}
    place.mkdir(parents=True)
    for item in volume["secret"]["items"]:
        (place / item["path"]).write_bytes((made / keys[item["key"]]).read_bytes())


def _build(port: int, folder: Path, parts: Parts, fresh_name: str) -> str:
    text = f'name = "demo"\nbase = "{parts.base}"\npython = "{parts.python}"\n'
    text += f'[[layers]]\ncommands = ["echo {fresh_name}"]\n'
    (folder / "image.toml").write_text(text, encoding="utf-8")
    words = ("image", "image.toml", "--engine", "remote", "--endpoint", f"http://127.0.0.1:{port}")
    done = subprocess.run(
        [*PROGRAM, *words, "--project", "research", "--domain", "development", "--progress", "plain"],
        cwd=folder,
        env=os.environ | {"FLYTE_BUILD_TOKEN": TOKEN, "FLYTE_BUILD_REGISTRY": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
