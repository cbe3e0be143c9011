"""What can be wrong with a layer that is neither pip's nor a project, and with secrets. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flyte_build.builder.spec import Apt, Commands, Copy, Env, SecretMount, User, Workdir
from flyte_build.registry.errors import Problem

# Debian Policy 5.6.1 (package names), with the architecture and the version or suite that apt-get takes.
_APT = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?([=/][A-Za-z0-9.+~:-]+)?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SECRET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_USER = re.compile(r"[a-z_0-9][a-z0-9_-]*(:[a-z_0-9][a-z0-9_-]*)?")
# Linux takes no argument over 128 KiB (MAX_ARG_STRLEN), and a command is one; BuildKit takes no line over 64 KiB.
NUL = "\0"
_LONGEST_COMMAND = 120 << 10
_LONGEST_VALUE = 24 << 10


def check_apt(layer: Apt) -> Iterator[Problem]:
    """Names of Debian packages."""
    if not layer.packages:
        yield Problem("", "names no package; name one, or leave the layer out")
    for package in layer.packages:
        if not _APT.fullmatch(package):
            yield Problem("", f"{package!r} is not the name of a Debian package; write it like git or git=1:2.39")
    yield from check_length(" ".join(layer.packages), "use several layers")


def check_commands(layer: Commands) -> Iterator[Problem]:
    """Commands that are not empty, and not too long."""
    if not layer.commands:
        yield Problem("", "has no command; write one, or leave the layer out")
    for number, command in enumerate(layer.commands):
        if not command.strip() or NUL in command:
            yield Problem(f"[{number}]", f"{'has a NUL character' if NUL in command else 'is empty'}; take it out")
        for problem in check_length(command, "copy a script and run that"):
            yield Problem(f"[{number}]", problem.message)


def check_length(command: str, advice: str) -> Iterator[Problem]:
    """A problem when `command` is more than a step can be told."""
    if len(command.encode(errors="replace")) > _LONGEST_COMMAND:
        yield Problem("", f"is longer than {_LONGEST_COMMAND >> 10} KiB, the most that a step can be told; {advice}")


def check_env(layer: Env) -> Iterator[Problem]:
    """Names and values of variables."""
    names = [name for name, _ in layer.variables]
    for name in sorted(set(names)):
        if names.count(name) > 1:
            yield Problem(name, "is set twice; keep one")
    for name, value in layer.variables:
        if not _VARIABLE.fullmatch(name):
            yield Problem("", f"{name!r} is not the name of an environment variable (letters, digits and _)")
        if any(character in value for character in "\r\0"):
            yield Problem(name, "has a carriage return or a NUL, which no build can give to a variable; take it out")
    if sum(len(name) + 2 * len(value) for name, value in layer.variables) > _LONGEST_VALUE:
        yield Problem("", f"is longer than {_LONGEST_VALUE >> 10} KiB; use several layers, or copy a file")


def check_places(layer: Workdir | Copy | User) -> Iterator[Problem]:
    """Paths in the image, and users."""
    if isinstance(layer, User):
        if not _USER.fullmatch(layer.name):
            yield Problem("", f"{layer.name!r} is not a user name or user:group; write it like flyte or flyte:users")
        return
    path = layer.path if isinstance(layer, Workdir) else layer.to
    if not path or any(ord(character) < 32 for character in path):
        yield Problem("", f"{path!r} is not a path; write it on one line")
    elif "$" in path:
        yield Problem("", f"{path!r} has a $, which means nothing in a path; write the path out")
    if isinstance(layer, Copy):
        if "\0" in layer.source or not layer.source:
            yield Problem("", f"{layer.source!r} is not a path; name a file or a folder")
        if layer.owner is not None and not _USER.fullmatch(layer.owner):
            yield Problem("owner", f"{layer.owner!r} is not a user name or user:group; write it like flyte")


def check_secrets(secrets: tuple[SecretMount, ...]) -> Iterator[Problem]:
    """Names of secrets and of their variables."""
    names = [secret.name for secret in secrets]
    for secret in secrets:
        if not SECRET.fullmatch(secret.name) or secret.name.startswith("flyte-build"):
            yield Problem("secrets", f"{secret.name!r} is not a secret's name (letters, digits and . _ -)")
        if secret.env is not None and not _VARIABLE.fullmatch(secret.env):
            yield Problem("secrets", f"{secret.env!r} is not the name of an environment variable (letters and _)")
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem("secrets", f"{name!r} is named twice; keep one")
