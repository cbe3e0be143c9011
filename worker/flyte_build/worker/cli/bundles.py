"""`flyte-build bundles`: what a service keeps of uploads, and making room."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flyte_build.bundler.refusals import size_of
from flyte_build.registry.errors import InvalidInput
from flyte_build.worker import settings as configured
from flyte_build.worker.cli.bundle_show import shown, transfer
from flyte_build.worker.cli.login import Login, login_options
from flyte_build.worker.cli.service_flags import database_option, store_option

if TYPE_CHECKING:
    from flyte_build.worker.database.engine import Database
    from flyte_build.worker.retention import Fate
    from flyte_build.worker.stores.store import Store

_STATE = click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder that the service keeps everything in; by default where `flyte-build serve` does.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group()
def bundles() -> None:
    """What is kept of uploads: fetch a bundle, list what a service keeps, make room. The service may run meanwhile."""


@bundles.command()
@click.argument("uri", metavar="oci://…")
@click.argument("folder", metavar="[DIR]", default="bundle", type=click.Path(path_type=Path))
@login_options
def fetch(uri: str, folder: Path, login: Login) -> None:
    """Unpack the bundle that `flyte-build bundle --store oci://…` printed as the folder DIR, and print that."""
    from flyte_build.bundler.oci import name_of, receive_from_registry

    client = login.client(name_of(uri).repository.registry)
    with transfer("fetching") as came:
        manifest = receive_from_registry(client, uri, folder, came)
    click.echo(f"bundle {manifest.digest}: {len(manifest.entries)} entries", err=True)
    click.echo(str(folder))


@bundles.command("list")
@_STATE
@store_option
@database_option
@_JSON
def list_(state: Path | None, store: str | None, database: str, as_json: bool) -> None:
    """Every upload: its size, how long nobody wanted it, and whether something refers to it."""
    from flyte_build.worker.retention import prune

    with _service(state, store, database) as (kept, known):
        now = time.time()
        found = prune(kept, known, now, dry_run=True)
        _show((fate for fate in found if fate.held.key.area == "uploads"), now, as_json=as_json, removed=False)


@bundles.command("prune")
@_STATE
@store_option
@database_option
@click.option("--older-than", "hours", type=float, default=24, show_default=True, help="Hours; never less than 24.")
@click.option("--dry-run", is_flag=True, help="Say what would go; remove nothing.")
@_JSON
def prune_(state: Path | None, store: str | None, database: str, hours: float, dry_run: bool, as_json: bool) -> None:
    """Remove uploads, and inputs of runs, that no task, run or build refers to and that nobody wanted for a day."""
    from flyte_build.worker.retention import prune

    with _service(state, store, database) as (kept, known):
        now = time.time()
        decided = prune(kept, known, now, age=hours * 3600, dry_run=dry_run)
        gone = [fate for fate in decided if not fate.kept]
        _show(gone, now, as_json=as_json, removed=not dry_run)
        room = size_of(sum(fate.held.size for fate in gone))
        verb = "would be removed" if dry_run else "were removed"
        click.echo(f"{len(gone)} of {len(decided)} uploads and inputs of runs {verb}, {room}", err=True)


@contextmanager
def _service(given: Path | None, place: str | None, url: str) -> Iterator[tuple[Store, Database]]:
    """The store and the database of a service, without starting it."""
    from flyte_build.worker.cli.serve import default_state
    from flyte_build.worker.database.engine import Database
    from flyte_build.worker.stores.choose import remote_store
    from flyte_build.worker.stores.local import LocalStore

    state = given or default_state()
    file = state / "flyte-build.db"
    if not url and not file.is_file():
        raise InvalidInput(
            f"{state} holds no service's state", hint="give the --state or the --database that flyte-build serve has"
        )
    place = place or configured.load(Path.cwd()).store or str(state / "store")
    database = Database(url or f"sqlite:///{file}")
    try:
        with tempfile.TemporaryDirectory(prefix="flyte-build-store-") as folder:
            if "://" in place:
                store: Store = remote_store(place, Path(folder), clock=time.time)
                store.open()
            else:
                # Not opened: that would take interrupted uploads away from the service that runs.
                store = LocalStore(Path(place).absolute(), base_url=str, clock=time.time)
            yield store, database
    finally:
        database.close()


def _show(fates: Iterable[Fate], now: float, *, as_json: bool, removed: bool) -> None:
    rows = sorted(fates, key=lambda fate: -fate.held.since)
    if as_json:
        uploads = [
            {
                "key": str(fate.held.key),
                "bytes": fate.held.size,
                "hours": round((now - fate.held.since) / 3600, 1),
                "kept": fate.kept,
                "removed": removed and not fate.kept,
                "why": fate.why,
            }
            for fate in rows
        ]
        click.echo(json.dumps({"version": 1, "uploads": uploads}))
        return
    for fate in rows:
        hours = (now - fate.held.since) / 3600
        click.echo(f"{size_of(fate.held.size):>10}  {hours:6.1f} h  {shown(str(fate.held.key))}  ({fate.why})")
