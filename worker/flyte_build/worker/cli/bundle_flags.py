"""The flags of `flyte-build bundle`, with types."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from flyte_build.bundler.limits import MIB, BundleLimits
from flyte_build.bundler.memory import Memory
from flyte_build.bundler.places import cache_folder
from flyte_build.bundler.tree import SourceTree
from flyte_build.worker import settings as configured
from flyte_build.worker.cli.login import Login


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked. Without an endpoint and a store nothing is uploaded."""

    tree: SourceTree
    entrypoint: Path | None
    pickle: str
    endpoint: str
    store: str
    project: str
    domain: str
    insecure: bool
    output: Path | None
    memory: Memory
    login: Login


def read_flags(folder: Path, flags: dict[str, object]) -> Asked:
    """The flags of the command for `folder`; what is not given comes from the settings. Raises UsageError."""
    found = configured.load(folder if folder.is_dir() else Path.cwd())
    output, entrypoint = _path(flags, "output"), _path(flags, "entrypoint")
    if sum(1 for flag in ("everything", "entrypoint", "pickle") if flags[flag]) > 1:
        raise click.UsageError("--all, --entrypoint and --pickle exclude each other")
    size, store = flags["max_size"], _text(flags, "store")
    login = flags["login"] if isinstance(flags["login"], Login) else Login()
    if not store:
        login.refuse("go with --store oci://…")
    elif _text(flags, "endpoint"):
        raise click.UsageError("--store and --endpoint exclude each other")
    limits = BundleLimits()
    if isinstance(size, int):
        limits = BundleLimits(archive_bytes=size * MIB, tree_bytes=max(limits.tree_bytes, size * MIB))
    tree = SourceTree(
        root=folder,
        also=tuple(one for one in _many(flags, "roots") if isinstance(one, Path)),
        include=tuple(str(one) for one in _many(flags, "includes")),
        without=_inside(folder, output) if output else (),
        limits=limits,
    )
    return Asked(
        tree=tree,
        entrypoint=entrypoint,
        pickle=_text(flags, "pickle"),
        endpoint=_text(flags, "endpoint") or ("" if output or store else found.endpoint or ""),
        store=store,
        project=_text(flags, "project") or found.project or configured.PROJECT,
        domain=_text(flags, "domain") or found.domain or configured.DOMAIN,
        insecure=bool(flags["insecure"] or (found.insecure and not flags["endpoint"])),
        output=output,
        memory=Memory() if flags["no_cache"] else Memory(folder=cache_folder() / "bundles"),
        login=login,
    )


def _text(flags: dict[str, object], name: str) -> str:
    value = flags[name]
    return value if isinstance(value, str) else ""


def _path(flags: dict[str, object], name: str) -> Path | None:
    value = flags[name]
    return value if isinstance(value, Path) else None


def _many(flags: dict[str, object], name: str) -> tuple[object, ...]:
    value = flags[name]
    return value if isinstance(value, tuple) else ()


def _inside(folder: Path, output: Path) -> tuple[str, ...]:
    """The archive's own path in the tree, so that a second bundle does not hold the first."""
    root, place = folder.resolve(), output.parent.resolve() / output.name
    return (place.relative_to(root).as_posix(),) if place.is_relative_to(root) else ()
