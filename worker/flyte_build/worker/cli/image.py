"""`flyte-build image`: build images from specs, or find that they exist."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import click

from flyte_build.builder.engine import BuildOptions
from flyte_build.builder.sources.source import FoundSpec
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.errors import FlyteBuildError, RegistryError
from flyte_build.worker.cli import answers
from flyte_build.worker.cli.asked import Asked, registries_of
from flyte_build.worker.cli.login import Login, login_options
from flyte_build.worker.cli.patience import patience
from flyte_build.worker.cli.progress import MODES, Notes, progress
from flyte_build.worker.cli.remote import remote_options
from flyte_build.worker.cli.trusting import TrustFlags, trust_options
from flyte_build.worker.cli.wishes import wish_options
from flyte_build.worker.drivers import image as driver
from flyte_build.worker.drivers import locked
from flyte_build.worker.drivers.access import Clients
from flyte_build.worker.drivers.evidence import Trust
from flyte_build.worker.drivers.several import all_of

EXIT_MISSING = 3


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE…")
@click.option("--registry", help="Where images go: a host and path, like ghcr.io/acme.")
@click.option("--name", help="The image's name, instead of the spec's.")
@click.option("--tag", "tags", multiple=True, help="One more tag for the same digest (repeatable).")
@click.option(
    "--platform", "platforms", multiple=True, help="linux/amd64 or linux/arm64, instead of the spec's (repeatable)."
)
@click.option(
    "--engine", type=click.Choice(["auto", "buildx", "remote"]), default="auto", help="What executes the plan."
)
@remote_options
@click.option("--builder", help="A Docker Buildx builder by name.")
@click.option(
    "--create-builder", is_flag=True, help="Where the engine itself cannot do it, make a builder that can, and use it."
)
@click.option("--push/--no-push", default=True, help="Push to the registry (default), or only build.")
@click.option("--load", is_flag=True, help="Load into the local engine instead of pushing.")
@click.option("--check", is_flag=True, help="Build nothing; exit 3 if an image is missing.")
@click.option("--force", is_flag=True, help="Build even if the image exists.")
@click.option("--no-cache", is_flag=True, help="Run every step, whatever the engine remembers of it.")
@click.option("--reproducible", is_flag=True, help="One timestamp for every file, as --locked does; slower to push.")
@click.option("--dry-run", is_flag=True, help="Print the plan and the Dockerfile; build nothing.")
@click.option("--toml", is_flag=True, help="Print the specs as an image.toml; look nothing up, build nothing.")
@click.option("--why", is_flag=True, help="Say what changed since the last image of that name.")
@click.option("--locked", is_flag=True, help="Build exactly what flyte-build.lock beside the source says.")
@click.option("--update", is_flag=True, help="Resolve bases and packages anew and write flyte-build.lock.")
@wish_options
@trust_options
@login_options
@click.option(
    "--secret", "secrets", multiple=True, metavar="id=ID,env=NAME|src=FILE", help="A build secret (repeatable)."
)
@click.option(
    "--cache-from",
    multiple=True,
    help="As docker buildx build --cache-from; {name} and {repository} are the image's (repeatable).",
)
@click.option("--cache-to", multiple=True, help="As docker buildx build --cache-to, likewise (repeatable).")
@click.option(
    "--compression",
    type=click.Choice(["zstd", "gzip"]),
    default="zstd",
    help="Of new layers; gzip for engines older than Docker 23 or containerd 1.5.",
)
@click.option("--timeout", type=click.FloatRange(min=1), help="Seconds after which a build is stopped.")
@click.option("--progress", "mode", type=click.Choice(MODES), default="auto", help="How progress looks, on stderr.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of references.")
@click.pass_context
def image(ctx: click.Context, /, login: Login, trusting: TrustFlags, **flags: object) -> None:
    """Build the images of SOURCE… and print their pinned references, one a line.

    SOURCE is a Python file or module that holds flyte.Image, flyte.TaskEnvironment or ImageSpec objects, an
    image.toml or a folder with one, or a Dockerfile. An image that exists is not built again.
    """
    asked = Asked(flags, trusting)
    asked.require_sense()
    if asked.is_set("toml"):
        from flyte_build.builder.sources.toml_out import format_specs

        click.echo(format_specs(asked.as_written()), nl=False)
        return
    specs = asked.specs()
    notes = Notes(asked.mode)
    clients = Clients(asked.secrets, login.place(registries_of(specs)), notes)
    planned = all_of(partial(_planned, found, clients, asked) for found in specs)
    for one in planned:
        for remark in one.remarks:
            notes(f"image {one.spec.name}: {remark}")
    if asked.is_set("why"):
        _tell_why(planned, clients)
    if asked.is_set("dry_run"):
        from flyte_build.worker.cli import dry_run

        outcomes = [driver.Outcome(planned=one, status="planned") for one in planned]
        if not asked.is_set("as_json"):
            for one in planned:
                dry_run.show(one)
            return
    elif asked.is_set("check"):
        trust = Trust() if asked.text("engine") == "remote" else asked.wishes.trust
        outcomes = [_ended(driver.check(one, clients.of(one.spec), trust), asked) for one in planned]
    else:
        outcomes = _all_built(planned, clients, asked, notes)
    answers.answer(outcomes, as_json=asked.is_set("as_json"), output=asked.output)
    if any(outcome.status == "missing" for outcome in outcomes):
        ctx.exit(EXIT_MISSING)


def _planned(found: FoundSpec, clients: Clients, asked: Asked) -> driver.Planned:
    with patience(f"image {found.spec.name}: looking up the base and reading files", mode=asked.mode):
        writes = not asked.is_set("dry_run")
        return locked.prepare(found, clients.of(found.spec), mode=asked.lock, tags=asked.tags, writes=writes)


def _tell_why(planned: list[driver.Planned], clients: Clients) -> None:
    from flyte_build.worker.drivers.why import explain

    for one in planned:
        try:
            lines = explain(one, clients.of(one.spec))
        except RegistryError as error:
            lines = (f"not known: {error.sentence}",)  # the image can be built all the same
        click.echo("".join(f"why {one.spec.name}: {line}\n" for line in lines), err=True, nl=False)


def _all_built(planned: list[driver.Planned], clients: Clients, asked: Asked, notes: Notes) -> list[driver.Outcome]:
    """One after the other. When one fails, those before it are pushed, and the answer says so all the same."""
    outcomes: list[driver.Outcome] = []
    try:
        for one in planned:
            if len(planned) > 1:
                answers.begin(one, mode=asked.mode)
            outcomes.append(_build(one, clients.of(one.spec), asked, notes))
    except (FlyteBuildError, KeyboardInterrupt):
        if len(planned) > 1:
            if outcomes:
                answers.answer(outcomes, as_json=asked.is_set("as_json"), output=asked.output)
            failed, *untried = (one.spec.name for one in planned[len(outcomes) :])
            answers.failed(failed, untried, mode=asked.mode)
        raise
    return outcomes


def _build(planned: driver.Planned, registry: RegistryClient, asked: Asked, notes: Notes) -> driver.Outcome:
    began = time.monotonic()
    if asked.text("engine") == "remote":
        from flyte_build.worker.cli import remote

        return _ended(remote.build(planned, asked), asked, time.monotonic() - began)
    from flyte_build.builder.buildx.engine import BuildxEngine
    from flyte_build.builder.machine import find_machine
    from flyte_build.worker.cli.engines import chosen_builder
    from flyte_build.worker.secrets.gather import secret_files, wanted

    with (
        secret_files(wanted(planned.plan), asked.secrets) as secrets,
        progress(asked.mode, image=planned.spec.name) as sink,
        notes.through(sink),
    ):
        options = BuildOptions(
            output=asked.output,
            builder=chosen_builder(asked, planned.spec.platforms),
            machine=find_machine(),
            secrets=secrets,
            compression=asked.compression,
            no_cache=asked.is_set("no_cache"),
            # What --update writes is what --locked obeys: both must make the same image.
            reproducible=any(map(asked.is_set, ("reproducible", "locked", "update"))),
            cache_from=asked.caches("cache_from", planned.target),
            cache_to=asked.caches("cache_to", planned.target),
            timeout=asked.number("timeout"),
            progress=sink,
        )
        engine = BuildxEngine()
        wishes = replace(asked.wishes, surveyor=engine)
        outcome = driver.build(planned, engine, registry, options, force=asked.is_set("force"), wishes=wishes)
    return _ended(outcome, asked, time.monotonic() - began)


def _ended(outcome: driver.Outcome, asked: Asked, seconds: float = 0.0) -> driver.Outcome:
    answers.end(outcome, seconds, mode=asked.mode, output=asked.output)
    return outcome
