"""`flyte-build builds`: what a build service does and did, its logs, and stopping it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from flyte_build.builder.engine import StepEnded
from flyte_build.registry.errors import BuildFailed
from flyte_build.worker import settings as configured
from flyte_build.worker.builds.values import ACTIVE
from flyte_build.worker.cli.builds_show import row, shown, summary

if TYPE_CHECKING:
    from flyte_build.worker.client.builds import BuildsClient

Command = TypeVar("Command", bound=Callable[..., object])


@click.group()
def builds() -> None:
    """Builds of a build service: the newest, one of them, its log, and stopping it."""


def _client_options(command: Command) -> Command:
    for option in (
        click.option("--endpoint", metavar="URL", help="The build service; FLYTE_BUILD_ENDPOINT by default."),
        click.option("--insecure", is_flag=True, help="Speak plain http to an endpoint that names no scheme."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON documents."),
    ):
        command = option(command)
    return command


@builds.command("list")
@click.option("--project", help="Only of this project.")
@click.option("--domain", help="Only of this domain.")
@click.option("--state", type=click.Choice(["queued", "running", "succeeded", "failed", "cancelled"]))
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@_client_options
def list_(
    project: str | None,
    domain: str | None,
    state: str | None,
    limit: int,
    as_json: bool,
    endpoint: str | None,
    insecure: bool,
) -> None:
    """The newest builds, the newest first."""
    given = {"project": project, "domain": domain, "state": state, "limit": str(limit)}
    found = client_of(endpoint, insecure=insecure).list({key: value for key, value in given.items() if value})
    if as_json:
        click.echo(json.dumps({"version": 1, "builds": found}))
        return
    # A terminal is read by people; whatever else reads a line may compare its id.
    short = sys.stdout.isatty()
    for build in found:
        click.echo(row(build, short=short))
    if not found:
        click.echo("there are no such builds", err=True)


@builds.command()
@click.argument("build")
@_client_options
def show(build: str, as_json: bool, endpoint: str | None, insecure: bool) -> None:
    """One build: what was asked, how it went, who waits for it."""
    found = client_of(endpoint, insecure=insecure).show(build)
    click.echo(json.dumps({"version": 1, "build": found}) if as_json else shown(found))


@builds.command()
@click.argument("build")
@click.option("-f", "--follow", is_flag=True, help="Go on until the build has ended; exits with 1 if it failed.")
@_client_options
def logs(build: str, follow: bool, as_json: bool, endpoint: str | None, insecure: bool) -> None:
    """What a build says and said: steps, their time, what was cached, layers and pushes. --json prints its entries."""
    from flyte_build.worker.builds.entries import Entry
    from flyte_build.worker.cli.progress import progress

    mode = "plain" if as_json or not follow else "auto"
    steps: list[StepEnded] = []
    end: Mapping[str, Any] = {}
    client = replace(client_of(endpoint, insecure=insecure), say=partial(click.echo, err=True))
    with progress(mode, err=False) as draw:
        for entry in client.log(build, follow=follow):
            if not isinstance(entry, Entry):
                end = entry
            elif as_json:
                click.echo(entry.encode())
            else:
                draw(entry.event or entry.text)
                steps += [entry.event] if isinstance(entry.event, StepEnded) else []
    _end(end, steps, follow=follow, as_json=as_json)


@builds.command()
@click.argument("build")
@_client_options
def cancel(build: str, as_json: bool, endpoint: str | None, insecure: bool) -> None:
    """Stop a build, for everybody who waits for it."""
    client = client_of(endpoint, insecure=insecure)
    found = client.show(build)
    build, state = str(found["id"]), found["state"]
    runs = client.cancel(build)
    if as_json:
        click.echo(json.dumps({"version": 1, "id": build, "runs": runs}))
        return
    said = f"{runs} run{'s' if runs != 1 else ''} waited for it" if runs else "nobody waited for it (any more)"
    said = said if state in ACTIVE else f"it has ended: {state}"
    click.echo(f"build {build}: {said}", err=True)


def client_of(endpoint: str | None, *, insecure: bool) -> BuildsClient:
    """The client of the endpoint that the flags, or else the settings, name."""
    from flyte_build.bundler.endpoint import Endpoint
    from flyte_build.worker.client.builds import BuildsClient

    found = configured.load(Path.cwd())
    text = endpoint or found.endpoint
    if not text:
        raise click.UsageError("there is no build service to ask: give --endpoint URL, or set FLYTE_BUILD_ENDPOINT")
    plain = insecure or (found.insecure and not endpoint)
    return BuildsClient(endpoint=Endpoint.parse(text, insecure=plain))


def _end(build: Mapping[str, Any], steps: list[StepEnded], *, follow: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(build))
    else:
        click.echo(summary(build, steps), err=True)
    if follow and build["state"] in ("failed", "cancelled"):
        raise BuildFailed(build["error"] or f"the build {build['id']} was {build['state']}", step=build["step"])
