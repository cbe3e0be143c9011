"""`docker-credential-*` programs (github.com/docker/docker-credential-helpers, "Development")."""

from __future__ import annotations

import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.identity import Credentials
from flyte_build.registry.redact import plain

TIMEOUT = 30.0
_LIMIT = 64 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TOKEN_USER = "<token>"  # noqa: S105 - the user name that says that the secret is an identity token


def ask_helper(
    name: str, key: str, *, source: str, environ: Mapping[str, str], timeout: float = TIMEOUT
) -> Credentials | None:
    """What `docker-credential-<name> get` says about `key`, a registry as Docker writes it; None: it has nothing.

    Raises InvalidInput when `source` names a helper that is not there, or it fails, hangs or answers nonsense.
    """
    program = f"docker-credential-{name}"
    path = shutil.which(program, path=environ.get("PATH")) if _NAME.fullmatch(name) else None
    if path is None:
        raise InvalidInput(
            f"{source} names the credential helper {plain(program, 60)}, which is not on PATH",
            hint=f"install it, or remove its line (credsStore or credHelpers) from {source}",
        )
    code, output = ask_program(path, key, environ, timeout)
    if code != 0 and "credentials not found" in output.lower():
        return None
    answer = _decode(output)
    if code != 0 or answer is None:
        raise InvalidInput(
            f"the credential helper {program} failed for {key}{_why(code, output)}",
            hint=f"run `echo {key} | {program} get` to see why, or log in again",
        )
    return _credentials(program, *answer)


def _why(code: int, output: str) -> str:
    """A helper that fails says why where it also puts secrets: what may be an answer is never shown."""
    if output.lstrip().startswith("<"):
        return ": it answered with an HTML page"
    if code == 0:
        return ": its answer is not the JSON that helpers give"
    said = "" if "{" in output else plain(output)
    return f": {said}" if said else ""


def _credentials(program: str, username: str, secret: str) -> Credentials | None:
    if not secret:
        return None
    if username == _TOKEN_USER:
        return Credentials(source=program, identity_token=secret)
    return Credentials(source=program, username=username, password=secret)


def _decode(output: str) -> tuple[str, str] | None:
    try:
        document = json.loads(output)
        username, secret = document.get("Username", ""), document.get("Secret", "")
    except (ValueError, RecursionError, AttributeError):
        return None
    return (username, secret) if isinstance(username, str) and isinstance(secret, str) else None


def ask_program(path: str, key: str, environ: Mapping[str, str], timeout: float = TIMEOUT) -> tuple[int, str]:
    """Exit code and bounded output of `PATH get` with `key` on its standard input, in a process group of its own.

    Raises InvalidInput when it cannot be started, or takes longer than `timeout` seconds.
    """
    program = Path(path).name
    with _start(path, environ) as process:
        try:
            output = _talk(process, key, timeout)
            code = process.wait(timeout=2)
        except BaseException as error:
            # Its children too: one of them may hold the pipe open and keep us waiting.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, (TimeoutError, subprocess.TimeoutExpired)):
                raise InvalidInput(
                    f"the helper {program} did not answer within {timeout:g} s for {key}",
                    hint=f"it may wait for you to unlock a keychain: run `echo {key} | {program} get` to see",
                ) from None
            raise
    return code, output.decode("utf-8", "replace")


def _start(path: str, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # Its standard error is not ours to show.
    try:
        return subprocess.Popen(
            [path, "get"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            start_new_session=True,
        )
    except OSError as error:
        raise InvalidInput(
            f"the helper {path} cannot be started: {(error.strerror or 'failed').lower()}",
            hint="reinstall it; a script needs a first line (#!) that names a program which is there",
        ) from error


def _talk(process: subprocess.Popen[bytes], key: str, timeout: float) -> bytes:
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        raise TimeoutError
    with suppress(BrokenPipeError):
        stdin.write(f"{key}\n".encode())
        stdin.close()
    end = time.monotonic() + timeout
    output = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while len(output) <= _LIMIT:
            if not selector.select(max(0.0, end - time.monotonic())):
                raise TimeoutError
            chunk = os.read(stdout.fileno(), _LIMIT)
            if not chunk:
                return output
            output += chunk
    raise InvalidInput(
        f"the credential helper for {key} answered more than {_LIMIT:,} bytes",
        hint="repair or replace it: helpers answer with one small JSON object",
    )
