"""`flyte-build task` (hidden): what the container of the registered `build-image` task runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from flyte_build.registry.errors import FlyteBuildError, InvalidInput
from flyte_build.worker.cli.main import report

if TYPE_CHECKING:
    from flyte_build.worker.task.process import Building


@click.command(hidden=True)
@click.option("--inputs", required=True, help="Where Flyte put inputs.pb.")
@click.option("--outputs-path", required=True, help="Where Flyte reads outputs.pb and error.pb.")
def task(inputs: str, outputs_path: str) -> None:
    """Build the image that Flyte's SDK asks for: at FLYTE_BUILD_SERVICE, or here with BUILDKIT_HOST."""
    from flyte_build.worker.task.process import Task

    try:
        reference = Task(inputs=inputs, outputs_path=outputs_path, building=_building).run()
    except FlyteBuildError as error:
        # It is written where Flyte looks for it, and a container that exits badly would be read instead.
        report(error)
        return
    click.echo(reference)


def _building() -> Building:
    service = os.environ.get("FLYTE_BUILD_SERVICE")
    if service:
        from flyte_build.bundler.endpoint import Endpoint
        from flyte_build.worker.client.bearer import bearer
        from flyte_build.worker.client.connect import Connect
        from flyte_build.worker.task.asking import Asking

        bearer()  # what is wrong with it is told before anything is asked
        return Asking(Connect(endpoint=Endpoint.parse(service), token=bearer), click.echo)
    if os.environ.get("BUILDKIT_HOST"):
        from flyte_build.worker.task.here import Here

        return Here(os.environ, click.echo)
    raise InvalidInput(
        "this task has neither a build service (FLYTE_BUILD_SERVICE) nor a BuildKit (BUILDKIT_HOST)",
        hint="register it again with flyte-build register --service URL, or --buildkit ADDRESS",
    )
