"""A BuildKit elsewhere: through a unix socket, and through TCP with certificates of both sides."""

from __future__ import annotations

import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.builder.bridge import bridged, unix_listener
from tests.conftest import Parts
from tests.engine import run_image

from flyte_build.builder.buildx.engine import BuildxEngine
from flyte_build.builder.buildx.remote import remote_builder
from flyte_build.builder.engine import BuildOptions
from flyte_build.builder.spec import ImageSpec
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.errors import EngineError, InvalidInput
from flyte_build.worker.drivers import image as driver

pytestmark = pytest.mark.real


@pytest.fixture
def folder() -> Iterator[Path]:
    """Paths of sockets must be short."""
    with tempfile.TemporaryDirectory(prefix="fb-") as name:
        yield Path(name)


@pytest.fixture
def own_builders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDX_CONFIG", str(folder / "buildx"))


def build(builder: str, base: str, where: str, folder: Path) -> str:
    spec = ImageSpec(name="remote", base=base, python=None, registry=where).with_commands("echo far > /far")
    client = RegistryClient()
    planned = driver.prepare(spec, folder, client)
    outcome = driver.build(planned, BuildxEngine(), client, BuildOptions(builder=builder, timeout=120), force=False)
    assert outcome.built is not None
    return str(outcome.built.reference)


def certificates(folder: Path) -> Path:
    """`ca.pem`, and for the server and the client each `cert.pem` and `key.pem`; the server is 127.0.0.1."""
    ca = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    make(*ca, "-subj", "/CN=test ca", "-keyout", folder / "ca.key", "-out", folder / "ca.pem")
    for who in ("server", "client"):
        place = folder / who
        place.mkdir()
        make(
            *("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN={who}", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", place / "key.pem", "-out", place / "request"),
        )
        make(
            *(
                "openssl",
                "x509",
                "-req",
                "-in",
                place / "request",
                "-CA",
                folder / "ca.pem",
                "-CAkey",
                folder / "ca.key",
            ),
            *("-CAcreateserial", "-copy_extensions", "copy", "-days", "2", "-out", place / "cert.pem"),
        )
        (place / "ca.pem").write_bytes((folder / "ca.pem").read_bytes())
    return folder


def make(*argv: str | Path) -> None:
    subprocess.run([str(part) for part in argv], check=True, capture_output=True)


@pytest.mark.usefixtures("own_builders")
def test_an_image_is_built_through_a_unix_socket_without_any_docker_engine(
    parts: Parts, fresh_name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bridged(unix_listener(folder / "s")):
        name = remote_builder(f"unix://{folder}/s")
        assert remote_builder(f"unix://{folder}/s") == name, "the same place is the same builder"
        with monkeypatch.context() as nowhere:
            nowhere.setenv("DOCKER_HOST", f"unix://{folder}/none")
            reference = build(name, parts.base, f"{parts.registry}/{fresh_name}", folder)
    assert run_image(reference, "cat", "/far") == "far\n"


@pytest.mark.usefixtures("own_builders")
def test_tcp_takes_certificates_of_both_sides(parts: Parts, fresh_name: str, folder: Path) -> None:
    made = certificates(folder)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made / "server" / "cert.pem", made / "server" / "key.pem")
    tls.load_verify_locations(made / "ca.pem")
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.set_alpn_protocols(["h2"])
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    with bridged(listener, tls):
        where = f"{parts.registry}/{fresh_name}"
        reference = build(remote_builder(address, made / "client"), parts.base, where, folder)
        with pytest.raises(EngineError):
            build(remote_builder(address), parts.base, f"{where}-2", folder)
    assert run_image(reference, "cat", "/far") == "far\n"


@pytest.mark.parametrize("address", ["tcp://host", "tcp://a b:1", "unix://relative", "tcp://h:1,key=/etc/shadow"])
def test_another_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match="not where a BuildKit can be"):
        remote_builder(address)


def test_certificates_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"has no ca\.pem, cert\.pem, key\.pem"):
        remote_builder("tcp://h:1", tmp_path)
