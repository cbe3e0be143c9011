"""What `flyte-build image --dry-run` prints: the plan, the files of the context with sizes, and the Dockerfile."""

from __future__ import annotations

import click

from flyte_build.builder.dockerfile import render, steps
from flyte_build.worker.drivers.image import Planned


def show(planned: Planned) -> None:
    """Print one planned image on stdout."""
    plan = planned.plan
    click.echo(f"# image        {planned.target}")
    click.echo(f"# spec digest  {plan.spec_digest}")
    click.echo(f"# base         {planned.resolved.base}")
    click.echo(f"# platforms    {', '.join(str(platform) for platform in plan.platforms)}")
    for step in steps(plan):
        if step.runs:
            click.echo(f"# step         {step.title}")
    files = [file for tree in plan.trees() for file in tree.files]
    click.echo(f"# context      {len(files)} files, {sum(file.size for file in files):,} bytes")
    for file in files:
        click.echo(f"#   {file.size:>12,}  {file.path}{f' -> {file.link}' if file.link else ''}")
    click.echo(render(plan, planned.resolved.base))
