"""`flyte-build bundle`: pack a source tree or a pickle, name it by its content, and upload it unless it is there."""

from __future__ import annotations

import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flyte_build.bundler.explain import explain
from flyte_build.bundler.root import checked_root
from flyte_build.bundler.tree import Listing, list_tree
from flyte_build.bundler.upload import Parcel
from flyte_build.registry.errors import InvalidInput
from flyte_build.worker import settings as configured
from flyte_build.worker.cli.bundle_flags import Asked, read_flags
from flyte_build.worker.cli.bundle_show import (
    noted,
    parcel_document,
    parcel_line,
    show_listing,
    show_verdict,
    transfer,
)
from flyte_build.worker.cli.login import login_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from flyte_build.bundler.upload import Uploader

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("folder", default=".", metavar="[DIR]", type=_PATH)
@click.option("--all", "everything", is_flag=True, help="The whole tree but what is ignored (the default).")
@click.option("--entrypoint", metavar="FILE", type=_PATH, help="Only FILE, what it imports from the project, and data.")
@click.option("--pickle", metavar="MODULE:OBJECT", help="The object as a pickle, with the project's modules inside.")
@click.option("--include", "includes", multiple=True, metavar="GLOB", help="In, whatever ignores it (repeatable).")
@click.option("--root", "roots", multiple=True, metavar="DIR", type=_PATH, help="Lay DIR over the tree (repeatable).")
@click.option("--endpoint", metavar="URL", help="The Flyte endpoint to upload through.")
@click.option("--store", metavar="oci://…", help="A registry path to keep the bundle in, instead of an endpoint.")
@click.option("--project", help=f"The project to upload for (or FLYTE_BUILD_PROJECT; default {configured.PROJECT}).")
@click.option("--domain", help=f"The domain to upload for (or FLYTE_BUILD_DOMAIN; default {configured.DOMAIN}).")
@click.option("--insecure", is_flag=True, help="Speak plain http to an endpoint that names no scheme.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the archive to this file.")
@click.option("--max-size", metavar="MIB", type=click.IntRange(min=1), help="The largest archive (default 100 MiB).")
@click.option("--no-cache", is_flag=True, help="Read every file, whatever is remembered of it.")
@click.option("--dry-run", is_flag=True, help="Show what would be in, with sizes; write and upload nothing.")
@click.option("--explain", "path", metavar="PATH", help="Say why PATH, relative to DIR or a --root, is in or out.")
@login_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def bundle(*, folder: Path, path: str | None, dry_run: bool, as_json: bool, **flags: object) -> None:
    """Pack the tree DIR (default: here) and upload it; print its URI.

    The bundle is named by its content: the same tree is uploaded once. With --output alone the archive is written to
    a file and its path printed.
    """
    checked_root(folder)
    asked = _resolved(read_flags(folder, flags))
    _check_pickle(asked, dry_run=dry_run, explained=path is not None)
    if path is not None:
        show_verdict(path, explain(asked.tree, path), as_json=as_json)
        return
    _check_place(asked, dry_run=dry_run)
    if asked.pickle:
        _finish(asked, None, lambda at: _pickled(asked, at), as_json=as_json)
        return
    listing = list_tree(asked.tree, asked.memory)
    noted(*listing.notes)
    if dry_run:
        show_listing(listing, as_json=as_json)
    else:
        remembered = Parcel.of_facts(asked.memory.of_archive(listing.digest))
        _finish(asked, remembered, lambda at: _packed(asked, listing, at), as_json=as_json)


def _check_pickle(asked: Asked, *, dry_run: bool, explained: bool) -> None:
    """Flags that mean something of files only would say what is not true of a pickle."""
    if not asked.pickle:
        return
    for flag, given in (("--dry-run", dry_run), ("--explain", explained)):
        if given:
            raise click.UsageError(f"--pickle has no {flag}: what is in a pickle is known when it is made")
    if asked.tree.include or asked.tree.also:
        raise click.UsageError("--pickle holds one object and no files; leave out --include and --root")


def _check_place(asked: Asked, *, dry_run: bool) -> None:
    """Whether it is said where the bundle goes, before anything is read."""
    if not (dry_run or asked.endpoint or asked.store or asked.output):
        raise click.UsageError(
            "say where the bundle goes: --endpoint URL or --output FILE, --store oci://… (or --dry-run)"
        )
    if asked.output and not asked.output.parent.is_dir():
        said = f"{asked.output} cannot be written: there is no folder {asked.output.parent}"
        raise InvalidInput(said, hint="make the folder first")
    if asked.store and not dry_run:
        from flyte_build.bundler.oci import repository_of

        repository_of(asked.store)
    elif asked.endpoint and not dry_run:
        from flyte_build.bundler.endpoint import Endpoint

        Endpoint.parse(asked.endpoint, insecure=asked.insecure)


def _resolved(asked: Asked) -> Asked:
    """With an entry point, the tree that it needs."""
    if asked.entrypoint is None:
        return asked
    from flyte_build.bundler.modules import find_needs

    needs = find_needs(asked.tree.root, asked.entrypoint)
    noted(*needs.notes)
    if needs.paths:
        noted(f"in the container these folders belong on PYTHONPATH: {', '.join(needs.paths)}")
    if asked.tree.also:
        raise click.UsageError("--entrypoint finds the roots by itself; leave out --root")
    return replace(asked, tree=replace(asked.tree, also=needs.also, only=needs.only))


def _packed(asked: Asked, listing: Listing, destination: Path) -> Parcel:
    from flyte_build.bundler.archive import archive

    root = asked.tree.root.resolve()
    made = archive(listing.manifest, root, destination, asked.tree.limits, homes=listing.homes)
    asked.memory.keep_archive(made.parcel.digest, made.parcel.facts())
    return made.parcel


def _pickled(asked: Asked, destination: Path) -> Parcel:
    from flyte_build.bundler.pickles import write_pickle
    from flyte_build.bundler.pickling import pickle_object

    # What the project prints while it is imported is no part of the answer.
    with redirect_stdout(sys.stderr):
        pickled, facts = pickle_object(asked.pickle, asked.tree.root)
    return write_pickle(pickled, facts, destination, asked.tree.limits)


def _finish(asked: Asked, remembered: Parcel | None, make: Callable[[Path], Parcel], *, as_json: bool) -> None:
    if asked.output is not None and not (asked.endpoint or asked.store):
        parcel = make(asked.output)
        _answer(parcel, asked.output.resolve().as_uri(), "written", str(asked.output), as_json=as_json)
        return
    from flyte_build.bundler.upload import upload

    with tempfile.TemporaryDirectory(prefix="flyte-build-bundle-") as place:
        path = asked.output or Path(place) / "bundle"
        # A file that was asked for is made, whatever the store has.
        before = None if asked.output else remembered
        with transfer() as moved:

            def made() -> tuple[Parcel, Path]:
                parcel = make(path)
                moved.total = parcel.archive_size
                return parcel, path

            reference = upload(made, _uploader(asked, moved), before)
    done = "uploaded" if reference.uploaded else "already uploaded"
    _answer(reference.parcel, reference.uri, done, reference.uri, as_json=as_json)


def _answer(parcel: Parcel, uri: str, done: str, answer: str, *, as_json: bool) -> None:
    click.echo(parcel_line(parcel, done), err=True)
    click.echo(parcel_document(parcel, uri) if as_json else answer)


def _uploader(asked: Asked, sent: Callable[[int], None]) -> Uploader:
    if asked.store:
        from flyte_build.bundler.oci import RegistryUploads, repository_of

        where = repository_of(asked.store)
        return RegistryUploads(client=asked.login.client(where.registry), repository=where, sent=sent)
    if not asked.endpoint:
        raise InvalidInput("there is no endpoint to upload through", hint="give --endpoint URL")
    from flyte_build.bundler.endpoint import Endpoint
    from flyte_build.bundler.signed import SignedUploads
    from flyte_build.bundler.wire import Wire
    from flyte_build.worker.client.bearer import bearer

    return SignedUploads(
        endpoint=Endpoint.parse(asked.endpoint, insecure=asked.insecure),
        project=asked.project,
        domain=asked.domain,
        wire=Wire(told=noted),
        sent=sent,
        token=bearer,
    )
