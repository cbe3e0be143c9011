"""A BuildKit somewhere else, as a builder of Buildx: a unix socket, or TCP with certificates of both sides."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from flyte_build.builder.buildx.builders import ensure_builder
from flyte_build.registry.errors import InvalidInput

_SCHEMES = ("unix://", "tcp://")
_FILES = {"cacert": "ca.pem", "cert": "cert.pem", "key": "key.pem"}


def is_address(builder: str) -> bool:
    """Whether it is where a BuildKit listens, and not the name of a builder that Buildx knows."""
    return builder.startswith(_SCHEMES)


def remote_builder(address: str, certificates: Path | None = None) -> str:
    """The name of a builder for the BuildKit at `address`, made if Buildx (`BUILDX_CONFIG`) has none yet.

    The same place and certificates have the same name.
    `certificates` is a folder with `ca.pem`, `cert.pem` and `key.pem`. Raises InvalidInput when a file is missing or
    `address` is no place to connect to, EngineMissing when there is no Buildx.
    """
    if not re.fullmatch(r"unix:///[^\s,]+|tcp://[A-Za-z0-9.:\[\]_-]+:\d+", address):
        raise InvalidInput(
            f"{address!r} is not where a BuildKit can be", hint="use unix:///path/to/socket or tcp://host:port"
        )
    options = _files(certificates.absolute()) if certificates else {}
    words = [address, *(f"{key}={path}" for key, path in options.items())]
    digest = hashlib.sha256("\n".join(words).encode()).hexdigest()
    return ensure_builder(f"flyte-build-{digest[:12]}", "remote", address, options)


def _files(folder: Path) -> dict[str, str]:
    missing = [name for name in _FILES.values() if not (folder / name).is_file()]
    if missing:
        raise InvalidInput(f"{folder} has no {', '.join(missing)}", hint="put ca.pem, cert.pem, key.pem there")
    return {key: str(folder / name) for key, name in _FILES.items()}
