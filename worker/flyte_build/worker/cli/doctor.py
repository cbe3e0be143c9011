"""`flyte-build doctor`: what is here, what is missing, what to do."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from flyte_build.registry.errors import FlyteBuildError, RegistryDenied, RegistryMissing
from flyte_build.registry.identity import Looked, Remembered
from flyte_build.registry.names import Registry, Repository
from flyte_build.worker import settings as configured
from flyte_build.worker.cli.login import Login, login_options
from flyte_build.worker.doctor.finding import Finding, failed, tried


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
    findings = list(_examine(registry, login))
    if settings.sign:
        findings += tried("signing", partial(_signing, settings.sign))
    scope = project or settings.project or configured.PROJECT, domain or settings.domain or configured.DOMAIN
    findings += _service(settings, endpoint, scope, insecure=insecure)
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


def _examine(registry: str | None, login: Login) -> Iterator[Finding]:
    yield Finding(part="python", fine=True, found=f"{platform.python_version()} on {platform.platform(terse=True)}")
    yield from tried("engine", _engine)
    yield from tried("machine", _machine)
    if registry:
        yield from _registry_findings(registry, login)
    else:
        yield Finding(
            part="registry",
            fine=False,
            needed=False,
            found="none configured",
            what_to_do="set FLYTE_BUILD_REGISTRY, or give --registry",
        )


def _service(
    settings: configured.Settings, endpoint: str | None, scope: tuple[str, str], *, insecure: bool
) -> Iterator[Finding]:
    from flyte_build.builder.spec import DEFAULT_PLATFORMS
    from flyte_build.worker.doctor.service import AskedService, service_findings

    named = endpoint or settings.endpoint
    if named:
        yield from service_findings(
            AskedService(
                endpoint=named,
                scope=scope,
                platforms=settings.platforms or DEFAULT_PLATFORMS,
                insecure=insecure or (settings.insecure and not endpoint),
                said=endpoint is not None,
            )
        )


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


def _repository(text: str) -> Repository:
    return Repository.parse(text if "/" in text else f"{Registry.parse(text)}/flyte-build-doctor")


def _registry_findings(text: str, login: Login) -> Iterator[Finding]:
    try:
        repository = _repository(text)
    except FlyteBuildError as error:
        yield failed("registry", error)
        return
    # Asked once: a helper that hangs hangs for half a minute.
    looked = tuple(login.source(repository.registry).look(repository.registry))
    yield from _credentials(repository.registry, looked)
    yield from tried("registry", lambda: _push_check(repository, looked, is_host_only="/" not in text))


def _credentials(registry: Registry, places: tuple[Looked, ...]) -> Iterator[Finding]:
    """Where credentials for this registry are looked for, in that order: what was found, never its value."""
    used = False
    for looked in places:
        found = f"{looked}"
        if looked.found and not used:
            found, used = f"{found}: this one is used", True
        hint = looked.failed.hint if looked.failed else ""
        yield Finding(part="identity", fine=not looked.failed, needed=False, found=found, what_to_do=hint)
    failed = any(looked.failed for looked in places)
    if not used:
        found = f"{registry} is spoken to as anonymous{', and not pushed to' if failed else ''}"
        yield Finding(part="identity", fine=not failed, needed=False, found=found)


def _push_check(repository: Repository, looked: tuple[Looked, ...], *, is_host_only: bool) -> Finding:
    from flyte_build.registry.client import RegistryClient

    try:
        RegistryClient(Remembered(looked)).push_check(repository)
    except (RegistryDenied, RegistryMissing) as error:
        if not is_host_only:
            raise
        # Many registries let nobody push to a name that we made up.
        better = f"ask about the place that you push to: --registry {repository.registry}/TEAM/NAME"
        hint = f"{error.hint}; or {better}" if error.hint else better
        return Finding(part="registry", fine=False, found=error.sentence, what_to_do=hint)
    return Finding(part="registry", fine=True, found=f"{repository} can be pushed to")
