"""Where Flyte's RPCs are answered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.redact import plain

_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where Flyte's RPCs are answered: `url` is http(s)://host[:port][/path], without a slash at its end."""

    url: str

    @classmethod
    def parse(cls, text: str, *, insecure: bool = False) -> Endpoint:
        """`http(s)://…` is kept; `dns:///host:port` and `host:port` mean https, or http when `insecure`.

        Raises InvalidInput for anything else, also for a password in the URL.
        """
        rest = text.strip().removeprefix("dns:///")
        url = (rest if "://" in rest else f"{'http' if insecure else 'https'}://{rest}").rstrip("/")
        try:
            parts = urlsplit(url)
            fine = parts.scheme in ("http", "https") and parts.port != 0 and _HOST.fullmatch(parts.netloc)
        except ValueError:
            parts, fine = urlsplit(""), None
        if parts.scheme in ("http", "https") and "@" in parts.netloc:
            raise InvalidInput(
                "a URL with a user or a password in it is not an endpoint", hint="set FLYTE_BUILD_TOKEN instead"
            )
        if not fine or parts.query or parts.fragment:
            raise InvalidInput(
                f"{plain(text, 80)!r} is not an endpoint",
                hint="write it like http://127.0.0.1:8090 or dns:///flyte.acme.com",
            )
        return cls(url=url)

    def __str__(self) -> str:
        return self.url
