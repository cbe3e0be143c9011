"""`--username` and `--password-stdin`: who to be at the registry that a command is about, before all other places.

A password in the command line is in the shell's history and in everybody's list of processes; a pipe is in neither.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import click

from flyte_build.registry.identity import Chain, Credentials, Given
from flyte_build.registry.names import Registry

if TYPE_CHECKING:
    from flyte_build.registry.client import RegistryClient
    from flyte_build.registry.identity import Place

Answer = TypeVar("Answer")

# More than any token; a pipe may bring anything.
_LIMIT = 64 * 1024
_USERNAME = click.option("--username", metavar="NAME", help="Who to be at the registry; with --password-stdin.")
_PASSWORD = click.option("--password-stdin", is_flag=True, help="Read the password or token for it from stdin.")


@dataclass(frozen=True, slots=True)
class Login:
    """What the two flags say; None where they were not given."""

    credentials: Credentials | None = None

    def place(self, registries: Collection[Registry]) -> tuple[Place, ...]:
        """What was given as a place of credentials, or none; click's usage error unless one registry is meant."""
        if self.credentials is None:
            return ()
        meant = set(registries)
        if len(meant) > 1:
            hosts = ", ".join(sorted(map(str, meant)))
            raise click.UsageError(f"--username fits one registry, and there are {len(meant)}: {hosts}")
        return tuple(Given(one, self.credentials, "the command line (--username)") for one in meant)

    def source(self, registry: Registry) -> Chain:
        """Where credentials for a command about `registry` come from, what was given first."""
        from flyte_build.registry.credentials import default_credentials

        return Chain((*self.place((registry,)), *default_credentials().places))

    def client(self, registry: Registry) -> RegistryClient:
        """A client for a command about `registry`, which says on stderr what it tries again."""
        from flyte_build.worker.drivers.retries import telling_client

        return telling_client(_noted, self.source(registry))

    def refuse(self, why: str) -> None:
        """Click's usage error, should the flags have been given."""
        if self.credentials is not None:
            raise click.UsageError(f"--username and --password-stdin {why}")


def _noted(sentence: str) -> None:
    # In the place of a line that is being drawn.
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    click.echo(f"{clear}{sentence}", err=True)


def login_options(command: Callable[..., Answer]) -> Callable[..., Answer]:
    """Gives the flags to a command, which hears of them as `login`."""

    @functools.wraps(command)
    def folded(*args: object, username: str | None, password_stdin: bool, **flags: object) -> Answer:
        return command(*args, login=_login(username, asked=password_stdin), **flags)

    return _USERNAME(_PASSWORD(folded))


def _login(username: str | None, *, asked: bool) -> Login:
    if username is None and not asked:
        return Login()
    if not username or not asked:
        raise click.UsageError("--username NAME and --password-stdin go together")
    return Login(Credentials(source="--username", username=username, password=_password()))


def _password() -> str:
    """All of stdin without the end of its line, as `docker login --password-stdin` reads it."""
    if sys.stdin is None or sys.stdin.isatty():
        raise click.UsageError("--password-stdin reads a pipe or a file, and stdin is none")
    said = sys.stdin.buffer.read(_LIMIT + 1)
    try:
        password = said.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise click.UsageError("--password-stdin: what stdin brought is not UTF-8") from None
    if not password or len(said) > _LIMIT or not password.isprintable():
        wrong = "nothing" if not password else "more than one line, or far more than a password"
        raise click.UsageError(f"--password-stdin: stdin brought {wrong}")
    return password
