"""Files that `docker login` and `podman login` leave behind: `auths`, `credHelpers`, `credsStore`."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path

from flyte_build.registry.errors import InvalidInput, InvalidName
from flyte_build.registry.identity import Credentials
from flyte_build.registry.names import DOCKER_HUB, Registry
from flyte_build.registry.redact import plain

HUB_KEY = "https://index.docker.io/v1/"
_LIMIT = 4 * 1024 * 1024


def config_key(registry: Registry) -> str:
    """What Docker calls this registry in `auths` and towards helpers: the host, except for Docker Hub."""
    return HUB_KEY if registry.host == DOCKER_HUB else registry.host


def look_up(path: Path, registry: Registry, environ: Mapping[str, str]) -> Credentials | None:
    """What the file has for this registry: its own helper's answer, else the store's, else the entry of `auths`.

    Raises InvalidInput for a file or an entry that cannot be read, or a helper that fails.
    """
    source = shown(path, environ)
    document = _parse(_read(path, source), source)
    helper = _entry(document.get("credHelpers"), registry) or document.get("credsStore")
    if isinstance(helper, str) and helper:
        # It starts processes: most registries need none, and the import costs a tenth of a whole check.
        from flyte_build.registry.helpers import ask_helper

        if found := ask_helper(helper, config_key(registry), source=source, environ=environ):
            return found
    return _decode(_auth(document, registry, source), registry, source)


def look_up_auths(content: bytes, registry: Registry, source: str) -> Credentials | None:
    """What the `auths` of such a document have for this registry; its helpers are not asked.

    Raises InvalidInput, which calls the document `source`, for one that cannot be read.
    """
    return _decode(_auth(_parse(content, source), registry, source), registry, source)


def shown(path: Path, environ: Mapping[str, str]) -> str:
    """The path as people write it, with ~ for the home directory."""
    home = environ.get("HOME", "").rstrip("/")
    return f"~{str(path)[len(home) :]}" if home and str(path).startswith(f"{home}/") else str(path)


def _read(path: Path, source: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        raise InvalidInput(f"cannot read {source}: {(error.strerror or 'failed').lower()}") from error


def _parse(content: bytes, source: str) -> dict[str, object]:
    try:
        document = json.loads(content[:_LIMIT]) if content.strip() else {}
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidInput(
            f"{source} is not valid JSON{where}", hint="repair it, or move it away and log in again"
        ) from None  # The exception holds the document, and that holds passwords.
    if not isinstance(document, dict):
        raise InvalidInput(f"{source} is not a JSON object", hint="repair it, or move it away and log in again")
    return document


def _auth(document: dict[str, object], registry: Registry, source: str) -> object:
    """The registry's entry of `auths`.

    podman also has entries for a part of a registry (`quay.io/acme`): one counts when it is the only one for its host.
    Several that differ raise InvalidInput: an engine is given one identity for each registry.
    """
    table = document.get("auths")
    whole = _entry(table, registry)
    if whole is not None or not isinstance(table, dict):
        return whole
    parts = {str(key): value for key, value in table.items() if _means(str(key), registry)}
    first = next(iter(parts.values()), None)
    if any(value != first for value in parts.values()):
        raise InvalidInput(
            f"{source} has credentials for parts of {registry} only ({plain(', '.join(parts))}), and it is not known "
            "which is meant",
            hint=f"say it: `podman login {registry}`, or --username NAME --password-stdin",
        )
    return first


def _entry(table: object, registry: Registry) -> object:
    """The value whose key means this registry: written exactly, else with a scheme or an API's path around it."""
    if not isinstance(table, dict):
        return None
    exact = table.get(config_key(registry))
    if exact is not None:
        return exact
    meant = {str(key): value for key, value in table.items() if _means(str(key), registry)}
    return next((value for key, value in meant.items() if _path(key) in ("", "v1", "v2")), None)


def _path(key: str) -> str:
    return (key.partition("://")[2] or key).partition("/")[2].strip("/")


def _means(key: str, registry: Registry) -> bool:
    host = key.partition("://")[2] or key
    try:
        return Registry.parse(host.partition("/")[0]) == registry
    except InvalidName:
        return False


def _decode(entry: object, registry: Registry, source: str) -> Credentials | None:
    if not isinstance(entry, dict):
        return None
    fields = {name: entry.get(name) or "" for name in ("auth", "username", "password", "identitytoken")}
    if not all(isinstance(value, str) for value in fields.values()):
        raise _broken(registry, source)
    username, password = fields["username"], fields["password"]
    if fields["auth"]:
        try:
            text = base64.b64decode(fields["auth"], validate=True).decode().rstrip("\x00")
        except (binascii.Error, UnicodeDecodeError):
            raise _broken(registry, source) from None
        username, colon, password = text.partition(":")
        if not colon:
            raise _broken(registry, source)
    token = fields["identitytoken"]
    if not token and not (username and password):
        return None
    return Credentials(source=source, username=username, password=password, identity_token=token)


def _broken(registry: Registry, source: str) -> InvalidInput:
    return InvalidInput(
        f"the entry for {registry} in {source} cannot be read", hint=f"run `docker login {registry}` again"
    )
