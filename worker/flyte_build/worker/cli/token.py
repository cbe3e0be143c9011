"""`flyte-build token NAME`: a static token for a service's rules."""

from __future__ import annotations

import json

import click

_LONGEST = 80


@click.command()
@click.argument("name")
@click.option(
    "--project", "projects", multiple=True, default=("*",), help="What it may use (repeatable); all by default."
)
def token(name: str, projects: tuple[str, ...]) -> None:
    """Make a token for a small service: prints it, and on stderr what to add to the rules of --access.

    The rules hold its hash alone: whoever loses the token makes another one.
    """
    from flyte_build.worker.access.tokens import new_token
    from flyte_build.worker.access.values import Projects

    if not name.isprintable() or not name.strip() or len(name) > _LONGEST:
        raise click.UsageError(f"NAME is what logs call its owner: a word or two of at most {_LONGEST} characters")
    for text in projects:
        Projects.parse(text)
    made, sha256 = new_token()
    listed = ", ".join(json.dumps(text) for text in projects)
    click.echo(made)
    click.echo(f'[[token]]\nname = {json.dumps(name)}\nsha256 = "{sha256}"\nprojects = [{listed}]', err=True)
