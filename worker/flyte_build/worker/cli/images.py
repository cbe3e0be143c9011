"""`flyte-build images`: what a repository holds, and making room in it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

import click

from flyte_build.builder.installed import parse_installed
from flyte_build.registry.artifacts import INSTALLED_TYPE
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.errors import RegistryMissing
from flyte_build.registry.inventory import Counted, Stored, inspect_image, list_images, shared
from flyte_build.registry.names import Digest, ImageName, Repository
from flyte_build.registry.prune import LEAST_AGE, Rule, Verdict, choose, remove
from flyte_build.registry.redact import plain
from flyte_build.worker.cli import images_installed, named
from flyte_build.worker.cli.images_show import attached, document, header, line, size_of, whole
from flyte_build.worker.cli.login import Login, login_options
from flyte_build.worker.drivers.attached import read_attached
from flyte_build.worker.drivers.images import Needed, needed_by
from flyte_build.worker.drivers.signed import find_signatures

_AGE = re.compile(r"(\d{1,6})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 24 * 7}


@click.group()
def images() -> None:
    """Say what a repository holds, and prune it."""


@images.command("list")
@click.argument("repository", callback=named.repository)
@login_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_command(repository: Repository, as_json: bool, login: Login) -> None:
    """The images of REPOSITORY (host/path), newest first: when, how large, built from which spec, under which tags."""
    found = _stored(login.client(repository.registry), repository)
    if as_json:
        click.echo(json.dumps({"version": 1, "images": [document(one) for one in found]}))
        return
    if found and sys.stdout.isatty():
        click.echo(header(found))
    for one in found:
        click.echo(line(one))
    for one in found:
        if one.unlisted:
            click.echo(f"what is attached to {one.reference} cannot be read: {plain(one.unlisted)}", err=True)
    common = shared(found)
    sizes = {blob.digest: blob.size for one in found for blob in one.blobs}
    number = "1 image" if len(found) == 1 else f"{len(found)} images"
    note = f"{number}, {size_of(sum(sizes.values()))}; {len(common)} layers are shared"
    click.echo(note, err=True)


@images.command()
@click.argument("image", callback=named.image)
@click.option("--packages", "every", is_flag=True, help="Name Debian's packages too, not only their number.")
@login_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def inspect(image: ImageName, every: bool, as_json: bool, login: Login) -> None:
    """One IMAGE (host/path:tag or @digest): platforms, spec, layers, what is installed, and what is attached to it."""
    client = login.client(image.repository.registry)
    try:
        found = inspect_image(client, image)
    except RegistryMissing as error:
        which = image if image.tag or image.digest else f"{image}:latest"
        hint = f"`flyte-build images list {image.repository}` says what is there"
        raise RegistryMissing(f"there is no image {which}", hint=hint) from error
    listings = read_attached(client, found.reference, INSTALLED_TYPE, parse_installed)
    signed = find_signatures(client, found)
    if as_json:
        counts = None if signed.unknown else {"signatures": signed.signatures, "attestations": signed.attestations}
        shown = {**document(found, whole=True), "signed": counts}
        shown["installed"] = images_installed.document(images_installed.believed(listings))
        click.echo(json.dumps({"version": 1, "image": shown}))
        return
    for text in (*whole(found, signed), *images_installed.lines(listings, every=every), *attached(found)):
        click.echo(text)


@images.command()
@click.argument("repository", callback=named.repository)
@click.option("--older-than", default="24h", metavar="AGE", help="Like 36h, 30d or 8w; never less than 24h.")
@click.option("--keep", type=click.IntRange(min=0), default=0, help="How many of the newest always stay.")
@click.option("--database", metavar="URL", help="Keep what this service's database still needs.")
@click.option("--keep-digest", "digests", callback=named.digests, multiple=True, help="Keep this digest (repeatable).")
@click.option("--dry-run", is_flag=True, help="Say what would go and what stays and why; remove nothing.")
@click.option("--yes", is_flag=True, help="Remove without asking.")
@login_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def prune(
    repository: Repository,
    older_than: str,
    keep: int,
    database: str | None,
    digests: tuple[Digest, ...],
    dry_run: bool,
    yes: bool,
    as_json: bool,
    login: Login,
) -> None:
    """Remove old images of ours from REPOSITORY, and print each that went (with --dry-run: that would go).

    Stays: what flyte-build has not built, what has a tag of somebody's own, what is younger than 24 hours or of
    unknown age. The registry frees the space when it collects its garbage.
    """
    if not (dry_run or yes):
        login.refuse("need --yes or --dry-run: stdin brings the password, and no answer")
    client = login.client(repository.registry)
    rule = _rule(parse_age(older_than), keep, digests, needed_by(database, repository) if database else Needed())
    verdicts = choose(_stored(client, repository), rule, datetime.now(timezone.utc))
    going = sum(verdict.goes for verdict in verdicts)
    if going and not dry_run and not yes:
        click.confirm(f"remove {going} of {len(verdicts)} images from {repository}?", abort=True, err=True)
    gone = (
        [verdict.image for verdict in verdicts if verdict.goes]
        if dry_run
        else list(remove(client, repository, verdicts))
    )
    _answer(verdicts, gone, dry_run=dry_run, as_json=as_json)


def _stored(client: RegistryClient, repository: Repository) -> tuple[Stored, ...]:
    with _counter() as counted:
        found = list_images(client, repository, counted)
    if not found:
        client.manifests.require_repository(repository)
    return found


@contextmanager
def _counter() -> Iterator[Counted]:
    """Draws how much is read, on a terminal and nowhere else: a repository may have ten thousand tags."""
    drawn = sys.stderr.isatty()

    def counted(done: int, total: int) -> None:
        if drawn and (done % 25 == 0 or done == total):
            click.echo(f"\r\x1b[Kreading {done:,} of {total:,}", nl=False, err=True)

    try:
        yield counted
    finally:
        if drawn:
            click.echo("\r\x1b[K", nl=False, err=True)


def parse_age(text: str) -> timedelta:
    """`36h`, `30d`, `8w`; click's usage error for anything else or less than a day."""
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise click.UsageError(f"--older-than {text!r} is not an age; write it like 36h, 30d or 8w")
    age = timedelta(hours=int(match[1]) * _HOURS[match[2]])
    if age < LEAST_AGE:
        raise click.UsageError(f"--older-than {text}: nothing younger than 24h is ever removed")
    return age


def _rule(age: timedelta, keep: int, digests: Sequence[Digest], needed: Needed) -> Rule:
    return Rule(older_than=age, keep=keep, needed=needed.digests.union(digests), needed_tags=needed.tags)


def _answer(verdicts: Sequence[Verdict], gone: Sequence[Stored], *, dry_run: bool, as_json: bool) -> None:
    staying = [verdict for verdict in verdicts if verdict.why]
    if as_json:
        kept = [{"reference": str(one.image.reference), "why": one.why} for one in staying]
        said = {"version": 1, "dry_run": dry_run, "removed": [str(one.reference) for one in gone], "kept": kept}
        click.echo(json.dumps(said))
        return
    for one in gone:
        click.echo(str(one.reference))
    for verdict in staying if dry_run else ():
        click.echo(f"stays: {verdict.image.reference} ({verdict.why})", err=True)
    why = "" if dry_run or not staying else "; --dry-run says why"
    click.echo(f"{len(gone)} {'would go' if dry_run else 'removed'}, {len(verdicts) - len(gone)} stay{why}", err=True)
