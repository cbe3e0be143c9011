"""A Docker configuration of the build's own: the user's contexts, builders and plugins, other credentials.

Docker's CLI hands BuildKit whatever credentials its configuration folder holds (docker docs, "docker login"). Ours
come from more places, and must not be written into the user's own file. Credentials that expire are handed over by a
credential helper of the build's own: it is asked when they are needed, which may be hours after the build began.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flyte_build.builder.buildx.held import held_folder
from flyte_build.builder.buildx.renewal import helper_of, renewed, write_helper
from flyte_build.builder.uv import cache_folder
from flyte_build.registry.credentials import default_credentials
from flyte_build.registry.docker_config import HUB_KEY, config_key
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.identity import Credentials, CredentialSource
from flyte_build.registry.names import DOCKER_HUB, Registry

# How often it is looked at whether credentials are about to expire, in seconds.
_PERIOD = 20.0
_KEPT_FOLDERS = ("contexts", "cli-plugins")


@contextmanager
def private_config(
    credentials: Mapping[Registry, Credentials], source: CredentialSource | None = None, period: float = _PERIOD
) -> Iterator[Mapping[str, str]]:
    """An environment for Docker's CLI in which `credentials` replace the user's for their registries.

    The folder is readable by this user only, and gone when the block ends; one that a killed process left is removed
    by the next build. What expires is asked for again from `source` while the block runs. Raises InvalidInput when
    the user's own configuration cannot be read.
    """
    own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    with held_folder(cache_folder() / "docker") as folder:
        _write(folder / "config.json", merged(_read(own / "config.json"), credentials))
        for name in _KEPT_FOLDERS:
            if (own / name).is_dir():
                (folder / name).symlink_to((own / name).resolve())
        environment = os.environ | {
            "DOCKER_CONFIG": str(folder),
            "BUILDX_CONFIG": os.environ.get("BUILDX_CONFIG") or str(own / "buildx"),
        }
        expiring = {registry: found for registry, found in credentials.items() if found.expires_at is not None}
        if expiring:
            environment["PATH"] = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
            for registry, found in expiring.items():
                write_helper(folder, registry, found)
        with renewed(folder, expiring, source or default_credentials(), period):
            yield environment


def merged(own: Mapping[str, object], credentials: Mapping[Registry, Credentials]) -> dict[str, object]:
    """The user's document with `credentials` in it. Pure.

    A `credsStore` would hide every entry of `auths`, so it becomes a `credHelpers` entry for each registry that it
    is known to serve and that is not replaced.
    """
    document = dict(own)
    auths = _table(document.pop("auths", None))
    helpers = _table(document.pop("credHelpers", None))
    store = document.pop("credsStore", None)
    if store:
        helpers = dict.fromkeys(auths, store) | helpers
    for registry, found in credentials.items():
        for name in _keys(registry):
            helpers.pop(name, None)
            auths.pop(name, None)
        if found.expires_at is None:
            auths[config_key(registry)] = _entry(found)
        else:
            helpers[config_key(registry)] = helper_of(registry)
    return document | {"auths": auths, "credHelpers": helpers}


def _keys(registry: Registry) -> tuple[str, ...]:
    if registry.host == DOCKER_HUB:
        return (HUB_KEY, "docker.io", "index.docker.io")
    return (registry.host, f"https://{registry.host}", f"http://{registry.host}")


def _entry(credentials: Credentials) -> dict[str, str]:
    if credentials.identity_token:
        return {"identitytoken": credentials.identity_token, "auth": _auth(credentials.username or "<token>", "")}
    return {"auth": _auth(credentials.username, credentials.password)}


def _auth(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()


def _table(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, dict) else {}


def _read(file: Path) -> dict[str, object]:
    try:
        return _table(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidInput(f"Docker's configuration {file} cannot be read", hint="repair or remove it") from error


def _write(file: Path, document: Mapping[str, object]) -> None:
    file.touch(mode=0o600)
    file.write_text(json.dumps(document), encoding="utf-8")
