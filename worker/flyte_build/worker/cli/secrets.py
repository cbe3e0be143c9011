"""`--secret id=ID,env=NAME` and `--secret id=ID,src=FILE` -> files that live as long as the build."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from flyte_build.registry.errors import InvalidInput


@contextmanager
def secret_files(texts: tuple[str, ...]) -> Iterator[Mapping[str, Path]]:
    """Secret name -> file. Values of variables are written to files only this user can read, removed at the end.

    Raises click.UsageError for a text of another form, InvalidInput for an unset variable or a missing file.
    """
    with tempfile.TemporaryDirectory(prefix="flyte-build-secrets-") as folder:
        yield {name: file for text in texts for name, file in (_secret(text, Path(folder)),)}


def _secret(text: str, folder: Path) -> tuple[str, Path]:
    fields = dict(part.partition("=")[::2] for part in text.split(","))
    name = fields.get("id", "")
    if not name or "/" in name or set(fields) not in ({"id", "env"}, {"id", "src"}):
        raise click.UsageError("--secret is id=NAME,env=VARIABLE or id=NAME,src=FILE")
    if "src" in fields:
        file = Path(fields["src"]).expanduser()
        if not file.is_file():
            raise InvalidInput(f"the file of the secret {name!r} does not exist: {file}")
        return name, file.absolute()
    value = os.environ.get(fields["env"])
    if value is None:
        raise InvalidInput(f"the variable {fields['env']} of the secret {name!r} is not set")
    file = folder / name
    file.touch(mode=0o600)
    file.write_text(value, encoding="utf-8")
    return name, file
