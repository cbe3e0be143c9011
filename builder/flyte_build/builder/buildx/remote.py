"""A BuildKit somewhere else, as a builder of Buildx: a unix socket, or TCP with certificates of both sides."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

from flyte_build.registry.errors import EngineMissing, InvalidInput
from flyte_build.registry.redact import plain

_SCHEMES = ("unix://", "tcp://")
_FILES = {"cacert": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
_PATIENCE = 60.0


def is_address(builder: str) -> bool:
    """Whether it is where a BuildKit listens, and not the name of a builder that Buildx knows."""
    return builder.startswith(_SCHEMES)


def remote_builder(address: str, certificates: Path | None = None) -> str:
    """The name of a builder for the BuildKit at `address`, made if Buildx (`BUILDX_CONFIG`) has none yet.

    `certificates` is a folder with `ca.pem`, `cert.pem` and `key.pem`. Raises InvalidInput when a file is missing or
    `address` is no place to connect to, EngineMissing when there is no Buildx.
    """
    argv = create_argv(address, certificates)
    name = argv[argv.index("--name") + 1]
    try:
        known = subprocess.run(
            ("docker", "buildx", "inspect", name), capture_output=True, timeout=_PATIENCE, check=False
        )
        if known.returncode == 0:
            return name
        done = subprocess.run(argv, capture_output=True, timeout=_PATIENCE, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineMissing(
            f"docker buildx gave no answer: {type(error).__name__}", hint="install docker-buildx 0.13 or newer"
        ) from error
    if done.returncode != 0 and "existing instance" not in done.stderr:
        raise EngineMissing(f"no builder can be made for {address}: {plain(done.stderr.strip(), 300)}")
    return name


def create_argv(address: str, certificates: Path | None) -> tuple[str, ...]:
    """`docker buildx create …`; the same place and certificates have the same name."""
    if not re.fullmatch(r"unix:///[^\s,]+|tcp://[A-Za-z0-9.:\[\]_-]+:\d+", address):
        raise InvalidInput(
            f"{address!r} is not where a BuildKit can be", hint="use unix:///path/to/socket or tcp://host:port"
        )
    options: list[str] = []
    if certificates is not None:
        folder = certificates.absolute()
        missing = [name for name in _FILES.values() if not (folder / name).is_file()]
        if missing:
            raise InvalidInput(
                f"{certificates} has no {', '.join(missing)}", hint="put ca.pem, cert.pem, key.pem there"
            )
        options = [f"{key}={folder / name}" for key, name in _FILES.items()]
    digest = hashlib.sha256("\n".join([address, *options]).encode()).hexdigest()
    flags = [part for option in options for part in ("--driver-opt", option)]
    name = f"flyte-build-{digest[:12]}"
    return ("docker", "buildx", "create", "--name", name, "--driver", "remote", *flags, address)
