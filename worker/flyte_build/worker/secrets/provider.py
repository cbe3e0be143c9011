"""Where the values of build secrets come from beside the command line: providers, asked by the secret's name.

A provider is chosen by name (`secret_providers`): an entry point of the group `flyte_build.secret_providers`, or
`command:NAME`, a program. Nothing that is merely installed is ever asked.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.helpers import ask_program

GROUP = "flyte_build.secret_providers"
_COMMAND = "command:"
_PREFIX = "flyte-build-secret-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Where the SDK's own builder looks, and where a Kubernetes pod of Flyte's has them.
_FOLDERS = (Path("/etc/secrets"), Path("/etc/flyte/secrets"))


class SecretProvider(Protocol):
    """Something that knows secrets. An entry point names a class or function that makes one without arguments."""

    def get(self, name: str) -> bytes | None:
        """The value of the secret `name` (`key`, or `group.key`), or None when it knows no such secret."""
        ...


def plain_name(name: str) -> str:
    """`group.my-key` -> `group_my_key`, as the SDK names files and, in capitals, variables of secrets."""
    return re.sub(r"[^A-Za-z0-9]", "_", name)


@dataclass(frozen=True, slots=True)
class FromEnvironment:
    """`GROUP_MY_KEY`."""

    environ: Mapping[str, str]

    def get(self, name: str) -> bytes | None:
        """As `SecretProvider.get`."""
        value = self.environ.get(plain_name(name).upper())
        return value.encode(errors="surrogateescape") if value else None


@dataclass(frozen=True, slots=True)
class FromFolders:
    """`/etc/secrets/group_my-key`, which is what the SDK's builder reads."""

    folders: tuple[Path, ...] = _FOLDERS

    def get(self, name: str) -> bytes | None:
        """As `SecretProvider.get`; InvalidInput for a file that cannot be read."""
        for file in (folder / name.replace(".", "_") for folder in self.folders):
            try:
                return file.read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                continue
            except OSError as error:
                raise InvalidInput(f"the secret {name!r} cannot be read from {file}: {error.strerror}") from error
        return None


@dataclass(frozen=True, slots=True)
class FromCommand:
    """`flyte-build-secret-NAME get`: the secret's name and a line end on its standard input; it prints
    `{"Secret": "value"}`, or `{}` when it has none, as Docker's credential helpers do."""

    program: str
    environ: Mapping[str, str]

    def get(self, name: str) -> bytes | None:
        """As `SecretProvider.get`; InvalidInput for a program that is missing, fails, hangs or answers nonsense."""
        path = shutil.which(self.program, path=self.environ.get("PATH"))
        if path is None:
            raise InvalidInput(
                f"the secret provider {self.program} is not on PATH",
                hint="install it, or take it out of secret_providers",
            )
        code, output = ask_program(path, name, self.environ)
        try:
            answer = json.loads(output)
            value = answer.get("Secret") if isinstance(answer, dict) else 0
        except (ValueError, RecursionError):
            value = 0
        if code != 0 or not (value is None or isinstance(value, str)):
            # What it printed may be half of a secret.
            raise InvalidInput(
                f"the secret provider {self.program} failed for {name!r} (exit code {code})",
                hint=f"run `echo {name} | {self.program} get` to see why; it prints a JSON object with Secret",
            ) from None
        return None if value is None else value.encode()


def providers(chosen: tuple[str, ...], environ: Mapping[str, str] = os.environ) -> tuple[SecretProvider, ...]:
    """The environment, the SDK's folders, then what is chosen. Raises InvalidInput for one that is not there."""
    return (FromEnvironment(environ), FromFolders(), *(_provider(name, environ) for name in chosen))


def _provider(name: str, environ: Mapping[str, str]) -> SecretProvider:
    if name.startswith(_COMMAND):
        program = name.removeprefix(_COMMAND)
        if not _NAME.fullmatch(program):
            raise InvalidInput(f"{name!r} is no secret provider", hint=f"{_COMMAND}NAME runs {_PREFIX}NAME")
        return FromCommand(f"{_PREFIX}{program}", environ)
    found = {one.name: one for one in entry_points(group=GROUP)}
    if name not in found:
        known = ", ".join([*sorted(found), f"{_COMMAND}NAME"])
        raise InvalidInput(f"there is no secret provider {name!r}", hint=f"there are: {known}")
    try:
        made: SecretProvider = found[name].load()()
    except Exception as error:
        raise InvalidInput(f"the secret provider {name!r} cannot be loaded: {type(error).__name__}: {error}") from error
    return made
