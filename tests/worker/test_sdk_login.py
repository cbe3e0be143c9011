"""The unmodified flyte SDK against TLS and an OIDC issuer: its own ways to log in."""

from __future__ import annotations

import datetime
import ipaddress
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.worker.conftest import REFERENCE, Served
from tests.worker.guarded import rules_for
from tests.worker.oidc import Idp

from flyte_build.worker.access.tokens import new_token

# Whole processes, the SDK's among them: seconds each, and so no part of `make check`.
pytestmark = pytest.mark.real

PROGRAM = """
import contextlib, sys
import flyte
import flyte.remote
image = flyte.Image.from_debian_base(name="demo", python_version=(3, 12)).with_pip_packages("numpy")
url, ca, token = sys.argv[1:4]
ways = {
    "client secret": dict(auth_type="ClientSecret", client_id="alice", client_credentials_secret="pass/word"),
    "wrong secret": dict(auth_type="ClientSecret", client_id="alice", client_credentials_secret="wrong"),
    "command": dict(auth_type="ExternalCommand", command=["cat", token]),
    "passthrough": dict(auth_type="Passthrough"),
}
flyte.init(
    endpoint=url, ca_cert_file_path=ca, project="p", domain="development", image_builder="remote", disable_keyring=True,
    **ways[sys.argv[4]],
)
header = ("authorization", "Bearer " + open(token).read())
passing = flyte.remote.auth_metadata(header) if sys.argv[4] == "passthrough" else contextlib.nullcontext()
with passing:
    print(flyte.build(image).uri)
"""


def certificate(folder: Path) -> tuple[Path, Path]:
    """A chain for this machine's loopback (the leaf, then the authority that signed it), and the leaf's key."""
    authority, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    place = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("tests", "localhost")]
    root = _signed(names[0], names[0], authority, authority, x509.BasicConstraints(ca=True, path_length=None))
    served = _signed(names[1], names[0], leaf, authority, place)
    chain, private, anchor = folder / "tls.crt", folder / "tls.key", folder / "ca.crt"
    pem = serialization.Encoding.PEM
    chain.write_bytes(served.public_bytes(pem) + root.public_bytes(pem))
    anchor.write_bytes(root.public_bytes(pem))
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private.write_bytes(leaf.private_bytes(pem, form, plain))
    return chain, private


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + day)
    return builder.add_extension(extension, critical=False).sign(signer, hashes.SHA256())


Program = Callable[[str, str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def secured(serving: Callable[..., Served], issuer: Idp, tmp_path: Path) -> tuple[Served, Program]:
    """A service over TLS with rules, and how the SDK's program is run against it."""
    issuer.clients["alice"] = "pass/word"
    rules = tmp_path / "access.toml"
    rules.write_text(rules_for(issuer.url, new_token()[1]))
    tls = certificate(tmp_path)
    served = serving(access=rules, registry="127.0.0.1:5000/images", tls=tls)
    ca = str(tmp_path / "ca.crt")
    (tmp_path / "main.py").write_text(PROGRAM)
    (tmp_path / "home").mkdir()

    def run(way: str, token: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "token").write_text(token)
        environment = {**os.environ, "HOME": str(tmp_path / "home"), "SSL_CERT_FILE": ca, "COLUMNS": "300"}
        argv = [sys.executable, "main.py", served.url, ca, str(tmp_path / "token"), way]
        return subprocess.run(
            argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    return served, run


def test_an_sdk_that_logs_in_builds_and_one_that_cannot_does_not(secured: tuple[Served, Program], issuer: Idp) -> None:
    served, run = secured
    assert served.url.startswith("https://")
    for way in ("client secret", "command", "passthrough"):
        done = run(way, issuer.token(sub="alice"))
        assert done.stdout.splitlines()[-1:] == [REFERENCE], (way, done.stderr[-2000:])
    built = len(served.building.requests)
    for way, token in (
        ("wrong secret", ""),
        ("command", issuer.token(sub="bob")),
    ):
        done = run(way, token)
        assert done.returncode != 0, way
        assert REFERENCE not in done.stdout
        assert not token or token not in done.stdout + done.stderr
    assert len(served.building.requests) == built
