"""`flyte-build image --engine remote`: its flags, and the build as it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import click

from flyte_build.builder.engine import BuildOptions
from flyte_build.worker.cli.progress import progress

if TYPE_CHECKING:
    from flyte_build.worker.cli.asked import Asked
    from flyte_build.worker.drivers.image import Outcome, Planned

Command = TypeVar("Command", bound=Callable[..., object])
_HERE = "that is about an engine here, and a build service has its own"
# What a service does not take from its clients, and why.
REFUSED = {
    "load": "what a service builds is not on this machine: it pushes",
    "push": "what a service builds is not on this machine: it pushes",
    "builder": _HERE,
    "create_builder": _HERE,
    "no_cache": _HERE,
    "cache_from": _HERE,
    "cache_to": _HERE,
    "compression": _HERE,
    "reproducible": _HERE,
    "attach": "a service always attaches the plan and the log",
    "sbom": "whoever runs the service decides what it attaches",
    "provenance": "whoever runs the service decides what it attaches",
    "sign": "the service signs what it builds, with a key of its own (`serve --sign`)",
    "tlog": "the service signs what it builds",
    "secrets": "a service has the secrets of its projects, and takes none from clients",
    "create_repository": "the service pushes, and whoever runs it makes repositories",
}
_OPTIONS = (
    click.option("--endpoint", metavar="URL", help="The build service of --engine remote; FLYTE_BUILD_ENDPOINT else."),
    click.option("--project", help="The project that a service builds for."),
    click.option("--domain", help="Its domain."),
    click.option("--insecure", is_flag=True, help="Speak plain http to an endpoint that names no scheme."),
)


def remote_options(command: Command) -> Command:
    """Gives these flags to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def registry_of(asked: Asked) -> str | None:
    """Where the service puts images of this project that name no registry; None without a service of ours."""
    from flyte_build.worker.cli.builds import client_of

    project, domain = asked.scope
    return client_of(asked.text("endpoint"), insecure=asked.is_set("insecure")).registry(project, domain) or None


def build(planned: Planned, asked: Asked) -> Outcome:
    """The image, found or built by the service. An interrupted client leaves the build going on, and says so."""
    from flyte_build.bundler.signed import SignedUploads
    from flyte_build.bundler.wire import Wire
    from flyte_build.worker.cli.builds import client_of
    from flyte_build.worker.client.files import FileUploads
    from flyte_build.worker.drivers import remote

    service = client_of(asked.text("endpoint"), insecure=asked.is_set("insecure"))
    project, domain = asked.scope
    uploads = SignedUploads(endpoint=service.endpoint, project=project, domain=domain, wire=Wire(), token=service.token)
    begun: list[str] = []
    try:
        with progress(asked.mode, image=planned.spec.name) as sink:
            engine = remote.RemoteEngine(
                service=replace(service, say=sink),
                uploads=FileUploads(uploads=uploads),
                project=project,
                domain=domain,
                force=asked.is_set("force"),
                say=sink,
                begun=begun.append,
            )
            options = BuildOptions(output=asked.output, timeout=asked.number("timeout"), progress=sink)
            return remote.build(planned, engine, options)
    except KeyboardInterrupt as stopped:
        if not begun:
            raise
        raise KeyboardInterrupt(
            f"the build {begun[-1]} goes on in the service: follow it with "
            f"`flyte-build builds logs -f {begun[-1]} --endpoint {service.endpoint}`, "
            f"stop it with `flyte-build builds cancel {begun[-1]} --endpoint {service.endpoint}`"
        ) from stopped
