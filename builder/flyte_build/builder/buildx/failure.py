"""What went wrong in a build, said once and so that the reader can act. Pure."""

from __future__ import annotations

import re

from flyte_build.registry.errors import BuildFailed, EngineAway, EngineError
from flyte_build.registry.names import Target

_ABSENT = re.compile(r"failed to (?:calculate checksum|compute cache key).*: (\"[^\"]+\"): not found")
_NOT_SENT = "check the path, which is relative to the Dockerfile's folder, and the dockerignore"
_EXIT_CODE = re.compile(r"exit code: (\d+)")


def failure(target: Target, failed: tuple[str, str, tuple[str, ...]] | None, prose: tuple[str, ...]) -> EngineError:
    """The error of a build that ended with a non-zero exit code.

    `failed` is the first vertex that failed, as (title, BuildKit's error, its last lines); `prose` what Buildx
    itself printed.
    """
    if _went_away(prose) or (failed is None and any("connection refused" in line for line in prose[-1:])):
        return EngineAway("the Docker engine went away during the build", hint="start it again and repeat the command")
    if failed is None:
        return _of_client(target, prose)
    title, error, log = failed
    if title.startswith(_CONNECTING):
        return EngineAway(f"the build engine cannot be connected to: {_first_line(error)}", hint="start it, and repeat")
    if absent := _ABSENT.search(error):
        sentence = f"the Dockerfile copies {absent[1]}, which is not among the files that go into the build"
        return BuildFailed(sentence, step=title, log=log, hint=_NOT_SENT)
    code = _EXIT_CODE.search(error)
    if code is None:
        return BuildFailed(f"{title} failed: {_first_line(error)}", step=title, log=log)
    hint = _hint(log) or (_KILLED if code[1] == "137" else "")
    return BuildFailed(f"the step «{title}» failed with exit code {code[1]}", step=title, log=log, hint=hint)


def _of_client(target: Target, prose: tuple[str, ...]) -> EngineError:
    said = next((line for line in reversed(prose) if line.startswith("ERROR")), prose[-1] if prose else "")
    reason = said.removeprefix("ERROR: ").removeprefix("failed to solve: ")
    return BuildFailed(f"docker buildx could not build {target}: {reason or 'it said nothing'}", log=prose)


# The first vertices of a builder that is not Docker's own.
_CONNECTING = ("[internal] waiting for connection", "[internal] booting buildkit")
# What gRPC's and Docker's clients say of a server that is not there (any more).
_AWAY = (
    "Cannot connect to the Docker daemon",
    "error during connect",
    "code = Unavailable",
    "error reading from server",
    "transport is closing",
    "connection error: desc",
    "listing workers for Build",
)


def _went_away(prose: tuple[str, ...]) -> bool:
    """Whether the client's last words are that it lost its engine: what a step says is a step's own matter."""
    return any(line.startswith("ERROR") and any(words in line for words in _AWAY) for line in prose[-5:])


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "no reason given"


# What uv, pip and apt print (their words, first match wins) and what the reader can change.
_HINTS = (
    ("invalid peer certificate", "the index is behind a private CA: set SSL_CERT_FILE to its bundle and repeat"),
    ("No interpreter found", "the base has no such Python: choose a base that does, or another `python`"),
    ("the base has no Python", "choose a base that has it, another `python`, or none"),
    ("was not found in the package registry", "check the package's name, and the index it should come from"),
    ("there is no version of", "check the version that was asked for"),
    ("Hash mismatch for", "the index has another file than the lock says: if you trust it, renew the lock: --update"),
    ("Unable to locate package", "check the name of the Debian package, and that the base is Debian"),
    ("apt-get: not found", "apt packages need a Debian or Ubuntu base"),
    ("No space left on device", "free disk space where the engine keeps its data (`docker system df`)"),
)
_KILLED = "something killed the step, most likely for want of memory: give the engine more"


def _hint(log: tuple[str, ...]) -> str:
    text = "\n".join(log)
    return next((hint for words, hint in _HINTS if words in text), "")
