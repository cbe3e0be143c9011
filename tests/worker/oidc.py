"""An OIDC issuer of the tests' own: real keys, real JWTs, its documents over loopback HTTP."""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

AUDIENCE = "flyte-build-tests"
# Where, and with which bearer, a job of GitHub's asks for its identity (ACTIONS_ID_TOKEN_REQUEST_URL, _TOKEN).
JOBS = "/jobs?api-version=2.0"
MAY_ASK = "this-job-may-ask"


@dataclass
class Key:
    """A key pair with an id."""

    kind: str = "EC"
    kid: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self.private = (
            ec.generate_private_key(ec.SECP256R1()) if self.kind == "EC" else rsa.generate_private_key(65537, 2048)
        )
        self.algorithm = "ES256" if self.kind == "EC" else "RS256"

    @property
    def public(self) -> dict[str, Any]:
        algorithm = jwt.algorithms.get_default_algorithms()[self.algorithm]
        jwk: dict[str, Any] = algorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**jwk, "kid": self.kid, "use": "sig"}


@dataclass
class Idp:
    """An issuer. `keys` is what it publishes; `clients` are ids with secrets; `needs` is a bearer for its keys."""

    url: str = ""
    keys: list[Key] = field(default_factory=lambda: [Key()])
    clients: dict[str, str] = field(default_factory=dict)
    needs: str = ""
    asked: list[str] = field(default_factory=list)
    down: bool = False
    calls_itself: str = ""
    keys_at: str = ""
    job: str = "repo:acme/train:ref:refs/heads/main"

    def token(
        self, *, key: Key | None = None, drop: str = "", headers: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        """A token that is good for ten minutes, unless `claims` say otherwise."""
        now, key = int(time.time()), key or self.keys[0]
        base = {"iss": self.url, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 600}
        payload = {name: value for name, value in {**base, **claims}.items() if name != drop}
        named = {"typ": "JWT", "kid": key.kid, **(headers or {})}
        # By hand in two parts, because the library refuses to make what an attacker would.
        return jwt.api_jws.encode(json.dumps(payload).encode(), key.private, key.algorithm, headers=named)

    def answer(self, path: str, authorization: str) -> tuple[int, dict[str, Any]]:
        self.asked.append(path)
        if self.down:
            return 503, {}
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.calls_itself or self.url,
                "jwks_uri": self.keys_at or f"{self.url}/keys",
                "token_endpoint": f"{self.url}/token",
                "authorization_endpoint": f"{self.url}/authorize",
                "device_authorization_endpoint": f"{self.url}/device",
            }
        if path.startswith(f"{JOBS}&audience="):
            return self.answer_job(urllib.parse.unquote(path.rpartition("=")[2]), authorization)
        if path == "/keys":
            if self.needs and authorization != f"Bearer {self.needs}":
                return 401, {}
            return 200, {"keys": [key.public for key in self.keys]}
        return 404, {}

    def answer_job(self, audience: str, authorization: str) -> tuple[int, dict[str, Any]]:
        """As GitHub gives a job its identity."""
        if authorization != f"Bearer {MAY_ASK}":
            return 401, {}
        return 200, {"value": self.token(sub=self.job, aud=audience)}

    def grant(self, authorization: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """The client-credentials grant (RFC 6749 section 4.4)."""
        scheme, _, encoded = authorization.partition(" ")
        name, _, secret = base64.b64decode(encoded).decode().partition(":")
        if scheme != "Basic" or self.clients.get(name) != urllib.parse.unquote_plus(secret):
            return 401, {"error": "invalid_client"}
        token = self.token(sub=name, aud=form.get("audience") or AUDIENCE)
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": 600}


@contextmanager
def idp() -> Iterator[Idp]:
    """An issuer that answers."""
    issuer = Idp()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(*issuer.answer(self.path, self.headers.get("authorization", "")))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0"))).decode()
            form = dict(urllib.parse.parse_qsl(body))
            self._say(*issuer.grant(self.headers.get("authorization", ""), form))

        def _say(self, status: int, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()
