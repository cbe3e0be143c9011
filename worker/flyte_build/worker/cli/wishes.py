"""Flags of `flyte-build image` about what is done beside the image: its repository made, its record attached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import click

from flyte_build.registry.ecr import NewRepository
from flyte_build.worker.drivers.image import Wishes

Command = TypeVar("Command", bound=Callable[..., object])

_OPTIONS = (
    click.option("--create-repository", is_flag=True, help="Create the repository first, where that is ECR."),
    click.option("--repository-tag", "repository_tags", multiple=True, metavar="KEY=VALUE", help="An AWS tag for it."),
    click.option(
        "--repository-untagged-days", type=click.IntRange(min=1), help="Days after which ECR removes what has no tag."
    ),
    click.option("--attach/--no-attach", default=True, help="Attach what is kept of a build to the image (default)."),
)


def wish_options(command: Command) -> Command:
    """Gives these flags to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def wishes_of(flags: Mapping[str, object]) -> Wishes:
    """What the flags ask for; click's usage error where they make no sense together."""
    days, texts = flags["repository_untagged_days"], flags["repository_tags"]
    tags = dict(_pair(str(text)) for text in (texts if isinstance(texts, tuple) else ()))
    new = NewRepository(tags=tags, untagged_days=days if isinstance(days, int) else None)
    if not flags["create_repository"] and new != NewRepository():
        raise click.UsageError("--repository-tag and --repository-untagged-days go with --create-repository")
    return Wishes(attach=bool(flags["attach"]), create=new if flags["create_repository"] else None)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.UsageError(f"--repository-tag {text!r} is not KEY=VALUE")
    return key, value
