"""Real `docker-registry` processes on free ports, with the ways in that registries have, and raw pushes to them."""

from __future__ import annotations

import base64
import json
import queue
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import urllib3
from tests.registry.doubles import Says, Seen
from tests.registry.images import manifest_of

from flyte_build.registry.descriptors import OCI_MANIFEST
from flyte_build.registry.names import Digest, Registry
from flyte_build.registry.verify import digest_of

USER, PASSWORD = "alice", "correct horse"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
# bcrypt of PASSWORD, made once: nothing that makes it is needed to test.
_HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n"
_LISTENING = re.compile(r"listening on (127\.0\.0\.1:\d+)")


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test's own, and a server certificate for 127.0.0.1."""

    root: Path

    @property
    def ca(self) -> Path:
        return self.root / "ca.pem"

    @classmethod
    def make(cls, root: Path, *names: str) -> Authority:
        """`names` are more hosts that the server may be."""
        hosts = ",".join(["IP:127.0.0.1", "DNS:localhost", *(f"DNS:{name}" for name in names)])

        def openssl(*arguments: str) -> None:
            subprocess.run(["openssl", *arguments], cwd=root, check=True, capture_output=True, timeout=60)

        new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
        openssl(*new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=the test's own authority")
        openssl(
            *new,
            *("-keyout", "server.key", "-out", "server.pem", "-subj", "/CN=registry"),
            *("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", f"subjectAltName={hosts}"),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
        )
        return cls(root)


@contextmanager
def docker_registry(root: Path, **sections: object) -> Iterator[Registry]:
    """Starts one with these configuration sections beside the usual ones; `http` is merged. Stops it at the end."""
    http = sections.pop("http", {})
    document = {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(root / "data")}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0", **(http if isinstance(http, dict) else {})},
        **sections,
    }
    (root / "config.yml").write_text(json.dumps(document))
    command = ["docker-registry", "serve", str(root / "config.yml")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            yield Registry.parse(_address(process))
        finally:
            process.terminate()


def _address(process: subprocess.Popen[str]) -> str:
    """Where it listens, from its log; the rest of the log is read and dropped, so that it never blocks."""
    lines: queue.Queue[str] = queue.Queue()

    def pump() -> None:
        # The end of the test closes the pipe while we read it.
        with suppress(OSError, ValueError):
            for line in process.stderr or ():
                lines.put(line)
        lines.put("")

    threading.Thread(target=pump, daemon=True).start()
    seen = ""
    while line := lines.get(timeout=30):
        seen += line
        if match := _LISTENING.search(line):
            return match.group(1)
    raise AssertionError(f"docker-registry did not start: {seen}")


# What moto and the tests' metadata server hand out.
_CLOUDS = (
    "AWS:$2b$05$abcdefghijklmnopqrstuu/4ofrUS75HrKu6f.iuRo0I/XlrmpqlC\n"
    "oauth2accesstoken:$2b$05$abcdefghijklmnopqrstuusUsgQk1PwiJlN/2Frvidr3jQFUgTuI.\n"
)


def htpasswd(root: Path) -> dict[str, object]:
    """The section that lets USER in with PASSWORD, and clouds' users with what the tests' clouds hand out."""
    (root / "htpasswd").write_text(_HTPASSWD + _CLOUDS)
    return {"htpasswd": {"realm": "test", "path": str(root / "htpasswd")}}


@dataclass(frozen=True)
class Issuer:
    """Signs JWTs that docker-registry believes (RFC 7519; RS256), for USER anything, for others pulling `public/…`.

    `life` is in seconds, to the second: the minute that docker-registry believes a token longer is taken off.
    """

    root: Path
    life: int = 300

    @classmethod
    def make(cls, root: Path, life: int = 300) -> Issuer:
        request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=issuer"]
        files = ["-keyout", str(root / "issuer.key"), "-out", str(root / "issuer.pem")]
        subprocess.run([*request, *files], check=True, capture_output=True, timeout=60)
        return cls(root, life)

    def section(self, realm: str) -> dict[str, object]:
        bundle = str(self.root / "issuer.pem")
        return {"token": {"realm": realm, "service": "reg.test", "issuer": "test", "rootcertbundle": bundle}}

    def answer(self, seen: Seen) -> Says:
        query = parse_qs(urlsplit(seen.path).query) | parse_qs(seen.body.decode())
        known = seen.headers.get("authorization")
        if query.get("grant_type") == ["password"]:
            pair = f"{query['username'][0]}:{query['password'][0]}"
            known = f"Basic {base64.b64encode(pair.encode()).decode()}"
        if known not in (None, BASIC):
            return Says(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"incorrect password"}]}')
        scopes = " ".join(query.get("scope", [])).split()
        token = self._sign([self._granted(scope, known=known is not None) for scope in scopes])
        return Says(200, json.dumps({"token": token, "access_token": token, "expires_in": self.life}).encode())

    def _granted(self, scope: str, *, known: bool) -> dict[str, object]:
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        granted = actions.split(",") if known else ["pull"] if name.startswith("public/") else []
        return {"type": kind, "name": name, "actions": granted}

    def _sign(self, access: Sequence[object]) -> str:
        certificate = (self.root / "issuer.pem").read_text().split("-----")[2].replace("\n", "")
        now = int(time.time())
        times = {"exp": now + self.life - 60, "nbf": now - 10, "iat": now}
        claims = {"iss": "test", "sub": USER, "aud": "reg.test", "jti": str(time.time_ns()), "access": access, **times}
        header = {"alg": "RS256", "typ": "JWT", "x5c": [certificate]}
        signed = ".".join(_b64(json.dumps(part).encode()) for part in (header, claims))
        command = ["openssl", "dgst", "-sha256", "-sign", str(self.root / "issuer.key")]
        signature = subprocess.run(command, input=signed.encode(), check=True, capture_output=True, timeout=60).stdout
        return f"{signed}.{_b64(signature)}"


def _b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class RawPush:
    """Puts images into a registry with nothing but PUT and POST: no code of the client's is used."""

    def __init__(self, base: str, headers: Mapping[str, str] | None = None, ca: Path | None = None) -> None:
        self._base = base
        self._headers = dict(headers or {})
        self._pool = urllib3.PoolManager(ca_certs=str(ca) if ca else None)

    def _send(self, method: str, url: str, body: bytes = b"", content_type: str = "application/octet-stream") -> str:
        headers = {**self._headers, "content-type": content_type}
        answer = self._pool.request(method, url, body=body, headers=headers, redirect=False)
        assert answer.status in (201, 202), f"{method} {url}: {answer.status} {answer.data!r}"
        return str(answer.headers.get("location", ""))

    def blob(self, repository: str, content: bytes) -> None:
        location = self._send("POST", f"{self._base}/v2/{repository}/blobs/uploads/")
        self._send("PUT", f"{location}{'&' if '?' in location else '?'}digest={digest_of(content)}", content)

    def manifest(self, repository: str, tag: str, body: bytes, media_type: str = OCI_MANIFEST) -> Digest:
        self._send("PUT", f"{self._base}/v2/{repository}/manifests/{tag}", body, media_type)
        return digest_of(body)

    def image(self, repository: str, tag: str, config: bytes) -> Digest:
        self.blob(repository, config)
        return self.manifest(repository, tag, manifest_of(config))

    def close(self) -> None:
        self._pool.clear()


def knowing(home: Path, registry: Registry, password: str = PASSWORD) -> dict[str, str]:
    """The environment of somebody who logged in there with Docker."""
    (home / ".docker").mkdir(parents=True, exist_ok=True)
    entry = {"username": USER, "password": password}
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {str(registry): entry}}))
    return {"HOME": str(home)}


def checkers() -> tuple[str, ...]:
    """The independent tools that judge what we did. `judged` fails where one is not on this machine."""
    return ("crane", "skopeo", "oras")


def tool(*argv: str) -> str:
    """What somebody else's client says; its absence or its refusal is a failure."""
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout.strip()


def judged(program: str, name: str) -> str:
    """The digest that somebody else's client sees."""
    if program == "skopeo":
        return tool(
            "skopeo", "inspect", "--tls-verify=false", "--no-tags", "--format", "{{.Digest}}", f"docker://{name}"
        )
    if program == "oras":
        return tool("oras", "resolve", "--plain-http", name)
    return tool("crane", "digest", name)
