"""`flyte-build doctor`: what is here, what is missing, what to do."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import click

from flyte_build.builder.spec import DEFAULT_PLATFORMS
from flyte_build.registry.errors import FlyteBuildError
from flyte_build.worker import settings as configured
from flyte_build.worker.cli.login import Login, login_options
from flyte_build.worker.doctor.asked import AskedService
from flyte_build.worker.doctor.finding import Finding, tried
from flyte_build.worker.doctor.registry import registry_findings, repository_of


@click.command()
@click.option("--registry", help="Also ask whether this registry (or host/repository) answers and may be pushed to.")
@login_options
@click.option(
    "--endpoint",
    metavar="URL",
    help="Also ask whether this build service is well, knows us and understands us; FLYTE_BUILD_ENDPOINT else.",
)
@click.option("--project", help="The project to ask about.")
@click.option("--domain", help="Its domain.")
@click.option("--insecure", is_flag=True, help="Speak plain http to an endpoint that names no scheme.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def doctor(
    ctx: click.Context,
    registry: str | None,
    endpoint: str | None,
    project: str | None,
    domain: str | None,
    insecure: bool,
    as_json: bool,
    login: Login,
) -> None:
    """Say what is here, what is missing, and what to do. Exit code 1 if something needed is missing."""
    settings = configured.load(Path.cwd())
    registry = registry or settings.registry
    if not registry:
        login.refuse("go with --registry")
    asked = AskedService(
        endpoint=endpoint or settings.endpoint or "",
        scope=(project or settings.project or configured.PROJECT, domain or settings.domain or configured.DOMAIN),
        platforms=settings.platforms or DEFAULT_PLATFORMS,
        insecure=insecure or (settings.insecure and not endpoint),
        said=endpoint is not None,
    )
    service = list(_service(asked))
    builds_elsewhere = any(finding.part == "service" and finding.fine for finding in service)
    findings = [
        *_here(settings, builds_elsewhere=builds_elsewhere),
        *_proxies(registry, asked),
        *_registry(registry, login),
        *service,
    ]
    if as_json:
        click.echo(json.dumps({"version": 1, "findings": [asdict(finding) for finding in findings]}))
    else:
        for finding in findings:
            mark = "✓" if finding.fine else ("✗" if finding.needed else "-")
            click.echo(f"{mark} {finding.part:<10} {finding.found}")
            if finding.what_to_do:
                click.echo(f"             what to do: {finding.what_to_do}")
    if any(finding.needed and not finding.fine for finding in findings):
        ctx.exit(1)


def _here(settings: configured.Settings, *, builds_elsewhere: bool) -> Iterator[Finding]:
    yield Finding(part="python", fine=True, found=f"{platform.python_version()} on {platform.platform(terse=True)}")
    for finding in tried("engine", _engine):
        yield replace(finding, needed=not builds_elsewhere)
    yield from tried("machine", _machine)
    if settings.sign:
        yield from tried("signing", partial(_signing, settings.sign))


def _registry(registry: str | None, login: Login) -> Iterator[Finding]:
    if registry:
        yield from registry_findings(registry, login)
        return
    hint = "set FLYTE_BUILD_REGISTRY, or give --registry"
    yield Finding(part="registry", fine=False, needed=False, found="none configured", what_to_do=hint)


def _service(asked: AskedService) -> Iterator[Finding]:
    from flyte_build.worker.doctor.service import service_findings

    return service_findings(asked) if asked.endpoint else iter(())


def _proxies(registry: str | None, asked: AskedService) -> Iterator[Finding]:
    from flyte_build.bundler.endpoint import Endpoint
    from flyte_build.registry.endpoints import base_of
    from flyte_build.registry.options import options_of
    from flyte_build.worker.doctor.proxies import proxy_findings

    places: dict[str, str] = {}
    with suppress(FlyteBuildError):  # told where it is asked about
        if registry:
            places[base_of(repository_of(registry).registry, options_of(os.environ))] = "the registry"
        if asked.endpoint:
            places[str(Endpoint.parse(asked.endpoint, insecure=asked.insecure))] = "the endpoint"
    return proxy_findings(places)


def _engine() -> Finding:
    from flyte_build.builder.buildx import docker

    engine = docker.find_engine()
    store = "containerd image store" if engine.stores_images else "no containerd image store: one platform at a time"
    text = f"Docker {engine.server}, Buildx {'.'.join(map(str, engine.buildx))}, {engine.driver} driver, {store}"
    return Finding(part="engine", fine=True, found=text)


def _machine() -> Finding:
    from flyte_build.builder.machine import find_machine

    machine = find_machine()
    parts = [
        f"CA bundle {machine.ca}" if machine.ca else "no CA bundle of its own",
        "a package index of its own" if machine.index_url else "the default package index",
        f"netrc {machine.netrc}" if machine.netrc else "no netrc",
    ]
    return Finding(part="machine", fine=True, found=", ".join(parts))


def _signing(key: str) -> Finding:
    from flyte_build.worker.signing.cosign import Cosign

    Cosign().require()
    return Finding(part="signing", fine=True, found=f"cosign, with {key}")
