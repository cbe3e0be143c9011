"""A service that asks who its clients are."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.worker.conftest import Served
from tests.worker.oidc import AUDIENCE, Idp

from flyte_build.worker.access.tokens import new_token


@dataclass(frozen=True)
class Guarded:
    """A service with rules: `alice` may use the project p, `bob` the project q, a static token everything."""

    served: Served
    issuer: Idp
    everything: str
    rules: Path

    def header(self, who: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.issuer.token(sub=who)}"}

    def get(
        self, path: str, method: str = "GET", body: bytes | str | None = None, **headers: str
    ) -> tuple[int, str, Any]:
        connection = http.client.HTTPConnection(urlsplit(self.served.url).netloc, timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace"), answer.headers


def guarded_by(serving: Callable[..., Served], issuer: Idp, folder: Path, more: str = "") -> Guarded:
    """A service whose rules are those of `rules_for`, and `more`."""
    token, sha256 = new_token()
    rules = folder / "access.toml"
    rules.write_text(rules_for(issuer.url, sha256) + more)
    return Guarded(serving(access=rules, registry="127.0.0.1:5000/images"), issuer, token, rules)


def rules_for(issuer: str, sha256: str) -> str:
    """Rules of these people, with a static token of this hash that may everything."""
    return f"""
[[issuer]]
url = "{issuer}"
audience = ["{AUDIENCE}"]
[[allow]]
issuer = "{issuer}"
subject = "alice"
projects = ["p/development"]
[[allow]]
issuer = "{issuer}"
subject = "bob"
projects = ["q"]
[[token]]
name = "root"
sha256 = "{sha256}"
projects = ["*"]
[login]
issuer = "{issuer}"
client_id = "people"
audience = "{AUDIENCE}"
scopes = ["openid"]
"""
