"""`--secret id=ID,env=NAME` and `--secret id=ID,src=FILE` -> where secrets come from."""

from __future__ import annotations

from pathlib import Path

import click

from flyte_build.worker.secrets.gather import SecretSources


def secret_sources(texts: tuple[str, ...], chosen: tuple[str, ...]) -> SecretSources:
    """What the flags say, and the providers of the settings. Raises click.UsageError for a text of another form."""
    files: dict[str, Path] = {}
    variables: dict[str, str] = {}
    for text in texts:
        fields = dict(part.partition("=")[::2] for part in text.split(","))
        name = fields.get("id", "")
        if name in ("", ".", "..") or "/" in name or set(fields) not in ({"id", "env"}, {"id", "src"}):
            raise click.UsageError("--secret is id=NAME,env=VARIABLE or id=NAME,src=FILE")
        if name in files or name in variables:
            raise click.UsageError(f"--secret names {name!r} twice")
        if "src" in fields:
            files[name] = Path(fields["src"]).expanduser()
        else:
            variables[name] = fields["env"]
    return SecretSources(files=files, variables=variables, chosen=chosen)
