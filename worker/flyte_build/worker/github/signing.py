"""The key that a job signs with: checked before anything is built, held in memory, in no list of processes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path

from flyte_build.builder.buildx.memory import memory_file
from flyte_build.registry.errors import InvalidInput, SigningMissing
from flyte_build.worker.github.inputs import PREFIX
from flyte_build.worker.github.oidc import may_ask
from flyte_build.worker.signing.argv import KEYLESS

SIGN = f"{PREFIX}SIGN"
KEY, PASSWORD = f"{PREFIX}SIGNING_KEY", f"{PREFIX}SIGNING_PASSWORD"
# What `sign` is where the key is an input.
_INPUT = "key"
_PEM = "-----BEGIN "


@contextmanager
def signing_key(environ: MutableMapping[str, str], folder: Path) -> Iterator[str]:
    """While the block runs, `environ` says as SIGN what `image --sign` takes, and has neither key nor password of the
    inputs but as COSIGN_PASSWORD; the file that holds the key, or an empty text. Where nothing is pushed, nothing is
    signed.

    Raises InvalidInput for inputs that do not go together or a job that may have no identity, SigningMissing.
    """
    key, password = (environ.pop(name, "").strip() for name in (KEY, PASSWORD))
    sign = environ.get(SIGN, "").strip()
    if _PEM in sign:
        environ.pop(SIGN)
        raise InvalidInput("the input 'sign' of the action holds a key", hint="give it as `signing-key`, from a secret")
    if (environ.get(f"{PREFIX}MODE", "").strip() or "build") != "build" or not (sign or key):
        # Who only checks need not have a key, like a pull request from a fork: what exists is what the registry says.
        environ.pop(SIGN, None)
        environ.pop("FLYTE_BUILD_SIGN", None)
        yield ""
        return
    _require_sense(sign, key, environ)
    if password:
        environ["COSIGN_PASSWORD"] = password
    if sign != _INPUT:
        yield ""
        return
    with memory_file(f"{key}\n".encode(), folder / "cosign.key") as file:
        environ[SIGN] = str(file)
        yield str(file)


def _require_sense(sign: str, key: str, environ: MutableMapping[str, str]) -> None:
    if sign == _INPUT and _PEM not in key:
        said = "is no key in PEM" if key else "is empty"
        raise InvalidInput(
            f"the input 'signing-key' of the action {said}, and 'sign' asks for it",
            hint="give what `cosign generate-key-pair` wrote to cosign.key, from a secret that this job has",
        )
    if key and sign != _INPUT:
        raise InvalidInput("the input 'signing-key' of the action goes with 'sign: key' only", hint="give sign: key")
    if sign == KEYLESS and not may_ask(environ):
        raise InvalidInput(
            "the input 'sign' of the action is keyless, and this job may not ask GitHub for an identity token",
            hint="give the job `permissions: id-token: write`",
        )
    if not environ.get(f"{PREFIX}ENDPOINT") and shutil.which("cosign", path=environ.get("PATH")) is None:
        raise SigningMissing(
            "signatures need the program cosign, and there is none on PATH",
            hint="put a step with `uses: sigstore/cosign-installer`, pinned by commit, before this one",
        )
