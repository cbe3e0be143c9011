"""Flags that the processes of a service have in common: what they share must be said to each of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from flyte_build.registry.errors import FlyteBuildError, InvalidInput
from flyte_build.registry.names import Repository

_F = TypeVar("_F", bound=Callable[..., object])
FILE = click.Path(path_type=Path, exists=True, dir_okay=False, readable=True)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False, readable=True)
store_option = click.option(
    "--store", metavar="URL", help="Keep uploads in a directory, s3://…, gs://… or az://…, not in --state."
)


def _database_option(without: str) -> Callable[[_F], _F]:
    """`--database`; `without` is what happens to a command that is given none."""
    return click.option(
        "--database",
        metavar="URL",
        default="",
        envvar="FLYTE_BUILD_DATABASE",
        help=f"postgresql://user:password@host/name, or sqlite:////file for processes of one machine; {without}.",
    )


database_option = _database_option("SQLite in --state by default")
endpoint_database_option = _database_option("SQLite in --state by default, but needed with --no-worker")
worker_database_option = _database_option("the endpoint's, and always needed")
broker_option = click.option(
    "--broker",
    metavar="URL",
    default="",
    envvar="FLYTE_BUILD_BROKER",
    help="redis://host:6379/0 or amqp://host:5672//; without one, builds are looked for every two seconds.",
)
queue_timeout_option = click.option(
    "--queue-timeout",
    type=click.FloatRange(min=0),
    default=0,
    metavar="SECONDS",
    help="Fail builds that no worker took for so long; 0 lets them wait.",
)
keep_logs_option = click.option(
    "--keep-logs",
    type=click.FloatRange(min=0),
    default=30,
    show_default=True,
    metavar="DAYS",
    help="How long logs of ended builds are kept; 0 is for ever. Why a build failed stays.",
)
keep_builds_option = click.option(
    "--keep-builds",
    type=click.FloatRange(min=0),
    default=90,
    show_default=True,
    metavar="DAYS",
    help="How long ended builds and their runs are listed; 0 is for ever. The last success of every image stays.",
)
builder_option = click.option(
    "--builder",
    help="Where builds run: a Docker Buildx builder by name, or a BuildKit at unix:///socket or tcp://host:port.",
)
builder_tls_option = click.option(
    "--builder-tls",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder with ca.pem, cert.pem and key.pem, for a BuildKit at tcp://.",
)
lease_option = click.option(
    "--lease",
    type=click.FloatRange(min=1),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long a worker may be silent until its builds are another's; the same for every process.",
)
access_option = click.option(
    "--access",
    type=FILE,
    envvar="FLYTE_BUILD_ACCESS",
    help="Rules (TOML) of who may use which projects, and what these may; the same for every process.",
)
secrets_option = click.option(
    "--secrets",
    type=_FOLDER,
    envvar="FLYTE_BUILD_SECRETS",
    help="Build secrets of projects: <project>/<group>/<key> below this folder, like mounted Kubernetes Secrets.",
)
trust_registry_option = click.option(
    "--trust-registry",
    is_flag=True,
    help="Believe what an image in the registry says of itself: where nobody else can push, and a database is new.",
)
log_format_option = click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    envvar="FLYTE_BUILD_LOG_FORMAT",
    help="Lines of the service's own log: for people, or one JSON document a line.",
)
cache_option = click.option(
    "--cache-keep",
    metavar="SIZE",
    default=None,
    help="Prune BuildKit's build cache when it is larger, like 50GB.",
)


def builder_name(builder: str | None, certificates: Path | None, state: Path) -> str | None:
    """The name of the Buildx builder that is meant; one for an address is kept in the state folder."""
    from flyte_build.builder.buildx.remote import is_address, remote_builder

    if builder is None or not is_address(builder):
        return builder
    os.environ.setdefault("BUILDX_CONFIG", str(state.absolute() / "buildx"))
    return remote_builder(builder, certificates)


def place_of(registry: str) -> Repository:
    """A repository below `--registry`; a usage error when it is none."""
    try:
        return Repository.parse(f"{registry}/flyte-build")
    except InvalidInput as error:
        raise click.UsageError(f"--registry {registry!r}: {error.sentence} ({error.hint})") from error


def warn_early(place: Repository, builder: str | None) -> None:
    """Say on stderr what the first build may fail of; nothing is refused, for it may come up yet."""
    from flyte_build.builder.buildx.docker import find_engine
    from flyte_build.registry.client import RegistryClient

    looks: tuple[Callable[[], object], ...] = (
        lambda: find_engine(builder).require_isolation(),
        lambda: RegistryClient().push_check(place),
    )
    for look in looks:
        try:
            look()
        except FlyteBuildError as error:
            click.echo(f"flyte-build: warning: builds may fail: {error.sentence}", err=True)
            if error.hint:
                click.echo(f"  what to do: {error.hint}", err=True)
