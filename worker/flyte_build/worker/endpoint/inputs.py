"""Where the inputs of runs are kept in the store: named by their own digest, so the same inputs are kept once."""

from __future__ import annotations

import hashlib

from flyte_build.worker.stores.keys import ObjectKey, key_of_native

MAX_INPUTS = 20 * 2**20
_FILE = "inputs.pb"


def inputs_key(data: bytes, project: str, domain: str) -> ObjectKey:
    """The key of these serialized inputs."""
    return ObjectKey.parse(f"inputs/{project}/{domain}/{hashlib.sha256(data).hexdigest()}/{_FILE}")


def offloaded_uri(key: ObjectKey) -> str:
    """What clients pass around instead of the inputs: the URL of the directory that holds `inputs.pb`."""
    return key.native_url.removesuffix(f"/{_FILE}")


def offloaded_key(uri: str, project: str, domain: str) -> ObjectKey:
    """The key behind such a URL; ServiceDenied unless it was issued to this project."""
    return key_of_native(f"{uri}/{_FILE}", project, domain)
