"""Names on the command line: one that cannot be meant is a usage error, told before anything is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.names import Digest, ImageName, Repository

Value = TypeVar("Value")
Callback = Callable[[click.Context, click.Parameter, str], Value]


def _named(parse: Callable[[str], Value]) -> Callback[Value]:
    """A callback that gives a command what `parse` makes of a text, or click's usage error with its sentence."""

    def convert(ctx: click.Context, param: click.Parameter, text: str) -> Value:
        try:
            return parse(text)
        except InvalidInput as error:
            said = f"{error.sentence} ({error.hint})" if error.hint else error.sentence
            raise click.BadParameter(said, ctx, param) from error

    return convert


def digests(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[Digest, ...]:
    """Digests, or references that end with one."""
    return tuple(_digest(ctx, param, text) for text in texts)


def image(ctx: click.Context, param: click.Parameter, text: str) -> ImageName:
    """A reference. The name of a file could be one of Docker Hub's, and is not meant so."""
    if Path(text).suffix and Path(text).is_file():
        said = f"{text} is a file, and this takes the reference of an image: what `flyte-build image {text}` prints"
        raise click.BadParameter(said, ctx, param)
    return _image(ctx, param, text)


_digest = _named(lambda text: Digest.parse(text.rpartition("@")[2]))
repository = _named(Repository.parse)
_image = _named(ImageName.parse)
