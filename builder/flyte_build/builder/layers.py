"""The layers of a spec: what can be asked of an image, each a value with a `kind`. Paths are kept as written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Install = Literal["dependencies", "project"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PipOptions:
    """How packages are looked for. `extra_args` is split like a shell would and passed to `uv pip install`."""

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    pre: bool = False
    extra_args: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretMount:
    """A build secret by name: a file at `/run/secrets/<name>` during the step, and a variable if `env` is given."""

    name: str
    env: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Apt:
    """Debian packages."""

    kind: ClassVar[str] = "apt"
    packages: tuple[str, ...]
    secrets: tuple[SecretMount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pip:
    """Python packages, as PEP 508 requirements."""

    kind: ClassVar[str] = "pip"
    packages: tuple[str, ...]
    options: PipOptions = PipOptions()
    secrets: tuple[SecretMount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """A requirements file with the files it includes by `-r` and `-c`."""

    kind: ClassVar[str] = "requirements"
    file: str
    options: PipOptions = PipOptions()
    secrets: tuple[SecretMount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Shell commands, each a step of its own, run by `/bin/sh -c`."""

    kind: ClassVar[str] = "commands"
    commands: tuple[str, ...]
    secrets: tuple[SecretMount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Env:
    """Environment variables as sorted (name, value) pairs.

    `$NAME` in a value is expanded to what earlier layers or the base set, as in a Dockerfile; `\\$` is a dollar sign.
    """

    kind: ClassVar[str] = "env"
    variables: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workdir:
    """The working directory from here on."""

    kind: ClassVar[str] = "workdir"
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A file or folder of the user's.

    A file goes to `to`, or into it if `to` ends with `/`. A folder goes to `to/<its name>`; with `contents`, or when
    it is written without a name (`.`, `..`), what is in it goes straight into `to`. `ignore` are gitignore patterns,
    relative to the folder.
    """

    kind: ClassVar[str] = "copy"
    source: str
    to: str = "."
    contents: bool = False
    ignore: tuple[str, ...] = ()
    owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """The user that later steps and the container run as."""

    kind: ClassVar[str] = "user"
    name: str
