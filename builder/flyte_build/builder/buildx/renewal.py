"""Credentials that expire, handed to Docker's CLI by a credential helper of the build's own.

The helper is asked when credentials are needed, which may be hours after the build began; what it answers is renewed
meanwhile.
"""

from __future__ import annotations

import json
import shlex
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from flyte_build.registry.docker_config import config_key
from flyte_build.registry.errors import FlyteBuildError
from flyte_build.registry.identity import Credentials, CredentialSource
from flyte_build.registry.names import Registry

# How long before they expire credentials are replaced, in seconds.
_MARGIN = 300.0
_HELPER = "flyte-build"


def helper_of(registry: Registry) -> str:
    """The name of the helper for this registry: one each, so that it needs no more than `cat`."""
    return f"{_HELPER}-{registry.host.encode().hex()}"


def write_helper(folder: Path, registry: Registry, found: Credentials) -> None:
    """A program that answers `get` with what its file holds (docker-credential-helpers, "Development")."""
    answer = folder / f"{helper_of(registry)}.json"
    _replace(answer, json.dumps(_said(registry, found)))
    program = folder / f"docker-credential-{helper_of(registry)}"
    program.write_text(f"#!/bin/sh\nexec cat {shlex.quote(str(answer))}\n", encoding="utf-8")
    program.chmod(0o700)


def _said(registry: Registry, found: Credentials) -> dict[str, str]:
    user, secret = ("<token>", found.identity_token) if found.identity_token else (found.username, found.password)
    return {"ServerURL": config_key(registry), "Username": user, "Secret": secret}


def _replace(file: Path, text: str) -> None:
    """Whoever reads it meanwhile reads the old or the new."""
    beside = file.with_suffix(".new")
    beside.touch(mode=0o600)
    beside.write_text(text, encoding="utf-8")
    beside.replace(file)


@contextmanager
def renewed(
    folder: Path, expiring: Mapping[Registry, Credentials], source: CredentialSource, period: float
) -> Iterator[None]:
    """Asks for credentials again before they expire, for as long as the block runs."""
    if not expiring:
        yield
        return
    current = dict(expiring)
    done = threading.Event()

    def renew() -> None:
        while not done.wait(period):
            for registry, found in list(current.items()):
                if not found.expires_within(_MARGIN, time.time()):
                    continue
                # A source that fails is asked again after a while; the registry's refusal says what is wrong.
                with suppress(FlyteBuildError, OSError):
                    if fresh := source.for_registry(registry):
                        current[registry] = fresh
                        _replace(folder / f"{helper_of(registry)}.json", json.dumps(_said(registry, fresh)))

    thread = threading.Thread(target=renew, name="credentials", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=5)
