"""`flyte-build register`: the `build-image` task into a Flyte endpoint."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import click

from flyte_build.worker import settings as configured


@click.command()
@click.option("--endpoint", metavar="URL", help="The Flyte endpoint that the task is registered at.")
@click.option("--insecure", is_flag=True, help="Speak plain http to an endpoint that names no scheme.")
@click.option("--service", metavar="URL", help="The build service that the task asks; --endpoint, if not given.")
@click.option("--buildkit", metavar="ADDRESS", help="Let the task build by itself, like tcp://buildkitd:1234.")
@click.option("--buildkit-certificates", metavar="PATH", help="In the container: ca.pem, cert.pem, key.pem for it.")
@click.option("--registry", help="Where images go whose request names no registry (with --buildkit).")
@click.option("--image", help="The task's image; the published one of this release by default.")
@click.option("--token-file", metavar="PATH", help="In the container: a bearer token for the build service.")
@click.option("--service-account", metavar="NAME", help="The Kubernetes service account that the task runs as.")
@click.option("--cpu", default="500m", show_default=True, help="What the task's container may use.")
@click.option("--memory", default="512Mi", show_default=True)
@click.option("--org", default="", help="The organization; by default the one that Flyte's SDK derives from the URL.")
@click.option("--dry-run", is_flag=True, help="Print the request; send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def register(
    endpoint: str | None,
    insecure: bool,
    service: str | None,
    buildkit: str | None,
    buildkit_certificates: str | None,
    registry: str | None,
    image: str | None,
    token_file: str | None,
    service_account: str | None,
    cpu: str,
    memory: str,
    org: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put the build-image task into a Flyte 2 endpoint, so that its SDK's remote image builder works there.

    The task asks a build service (flyte-build serve), or builds by itself with a BuildKit beside it.
    """
    from google.protobuf import json_format

    from flyte_build.bundler.endpoint import Endpoint
    from flyte_build.worker.client.bearer import bearer
    from flyte_build.worker.client.connect import Connect
    from flyte_build.worker.task.registering import checked, org_of, put
    from flyte_build.worker.task.template import IMAGE, Registration, deploy_request

    found = configured.load(Path.cwd())
    where = endpoint or found.endpoint
    if not where:
        raise click.UsageError("there is no endpoint to register at: give --endpoint URL")
    if service and buildkit:
        raise click.UsageError("--service and --buildkit exclude each other: the task asks, or it builds")
    if buildkit and not (registry or found.registry):
        raise click.UsageError("--buildkit needs --registry: where images go whose request names none")
    place = Endpoint.parse(where, insecure=insecure or (found.insecure and not endpoint))
    release = version("flyte-build")
    asked = Registration(
        image=image or f"{IMAGE}:{release}",
        release=release,
        service="" if buildkit else str(Endpoint.parse(service)) if service else str(place),
        buildkit=buildkit or "",
        certificates=buildkit_certificates or "",
        registry=(registry or found.registry or "") if buildkit else "",
        token_file=token_file or "",
        service_account=service_account or "",
        cpu=cpu,
        memory=memory,
    )
    request = checked(deploy_request(asked, org or org_of(place)))
    status = "planned" if dry_run else put(Connect(endpoint=place, token=bearer()), request)
    name = request.task_id
    text = f"{name.project}/{name.domain}/{name.name}@{name.version}"
    if as_json:
        click.echo(json.dumps({"version": 1, "task": text, "status": status, "image": asked.image}))
        return
    click.echo(json_format.MessageToJson(request) if dry_run else text)
    how = f"builds with {asked.buildkit}" if buildkit else f"asks {asked.service}"
    click.echo(f"{status} at {place}: it {how}", err=True)
