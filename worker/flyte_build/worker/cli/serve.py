"""`flyte-build serve`: the endpoint with a worker inside."""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from flyte_build.registry.descriptors import Platform
from flyte_build.worker import settings as configured
from flyte_build.worker.cli.service_flags import (
    FILE,
    access_option,
    broker_option,
    builder_name,
    builder_option,
    builder_tls_option,
    cache_option,
    endpoint_database_option,
    keep_builds_option,
    keep_logs_option,
    lease_option,
    log_format_option,
    place_of,
    queue_timeout_option,
    secrets_option,
    store_option,
    trust_registry_option,
    warn_early,
)
from flyte_build.worker.cli.trusting import TrustFlags, trust_options

if TYPE_CHECKING:
    from flyte_build.worker.operating.log_lines import Format


@click.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where to listen; beyond loopback only with --access."
)
@click.option("--port", default=8090, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="The folder that keeps everything; ~/.local/state/flyte-build by default.",
)
@click.option("--registry", help="Where images go whose request names no registry.")
@click.option("--platform", "platforms", multiple=True, help="Built where a request names none (repeatable).")
@store_option
@endpoint_database_option
@broker_option
@queue_timeout_option
@lease_option
@cache_option
@keep_logs_option
@keep_builds_option
@log_format_option
@click.option("--public-url", help="The URL that clients use, if it is not the listening one.")
@secrets_option
@trust_options
@access_option
@click.option("--tls-cert", type=FILE, help="Answer https with this certificate chain (PEM).")
@click.option("--tls-key", type=FILE, help="The key of --tls-cert.")
@builder_option
@builder_tls_option
@trust_registry_option
@click.option("--concurrency", default=2, show_default=True, type=click.IntRange(min=1), help="Builds at once.")
@click.option(
    "--trust-sdk-tags",
    is_flag=True,
    help="Answer `is it there` by the SDK's own tag, which can mean two images (README).",
)
@click.option(
    "--build-task",
    type=click.Choice(["built-in", "registered"]),
    default="built-in",
    show_default=True,
    help="Who builds what the SDK asks for: this service, or the task that `flyte-build register` put here.",
)
@click.option("--no-worker", is_flag=True, help="Answer only; `flyte-build worker` takes the builds.")
def serve(
    host: str,
    port: int,
    state: Path | None,
    registry: str | None,
    platforms: tuple[str, ...],
    store: str | None,
    database: str,
    broker: str,
    queue_timeout: float,
    lease: float,
    cache_keep: str | None,
    keep_logs: float,
    keep_builds: float,
    log_format: Format,
    public_url: str | None,
    secrets: Path | None,
    trusting: TrustFlags,
    access: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    builder: str | None,
    builder_tls: Path | None,
    trust_registry: bool,
    concurrency: int,
    trust_sdk_tags: bool,
    build_task: Literal["built-in", "registered"],
    no_worker: bool,
) -> None:
    """Answer the Flyte SDK: remote image builds, code bundles, runs. Stop it with Ctrl-C.

    In the program: flyte.init(endpoint="http://127.0.0.1:8090", insecure=True, image_builder="remote", …)
    """
    found = configured.load(Path.cwd())
    target = registry or found.registry
    if target is None:
        raise click.UsageError(
            "the endpoint has no registry to push images to: give --registry, like --registry ghcr.io/acme,"
            " or set FLYTE_BUILD_REGISTRY"
        )
    from flyte_build.builder.buildx.docker import engine_trouble
    from flyte_build.builder.provenance import BUILDER_SERVICE
    from flyte_build.builder.spec import DEFAULT_PLATFORMS
    from flyte_build.worker.access.gate import policies_of
    from flyte_build.worker.drivers.service import ServiceBuilding
    from flyte_build.worker.operating.cache import Cache, parse_size
    from flyte_build.worker.retention import DAY
    from flyte_build.worker.secrets.projects import ProjectSecrets
    from flyte_build.worker.serve import ServeSettings
    from flyte_build.worker.serve import serve as run

    place, state = place_of(target), state or default_state()
    builder = builder_name(builder or found.builder, builder_tls, state)
    trust = trusting.trust(found, BUILDER_SERVICE)
    if trust.signer is not None and not no_worker:
        trust.signer.ready()
    if not no_worker:
        threading.Thread(target=warn_early, args=(place, builder), daemon=True).start()
    wanted = tuple(Platform.parse(text) for text in platforms) or found.platforms or DEFAULT_PLATFORMS
    building = ServiceBuilding(
        registry=target,
        builder=builder,
        platforms=wanted,
        policies=policies_of(target, access),
        secrets=ProjectSecrets(root=secrets),
        trust_registry=trust_registry,
        trust=trust,
    )
    run(
        ServeSettings(
            host=host,
            port=port,
            state=state,
            registry=target,
            public_url=public_url,
            concurrency=concurrency,
            no_worker=no_worker,
            store=store or found.store or "",
            access=access,
            trust_sdk_tags=trust_sdk_tags,
            tls=_tls(tls_cert, tls_key),
            database=database,
            broker=broker,
            platforms=",".join(map(str, wanted)),
            queue_timeout=queue_timeout,
            lease=lease,
            keep_logs=keep_logs * DAY,
            keep_builds=keep_builds * DAY,
            cache=Cache(builder=builder or found.builder, keep=parse_size(cache_keep) if cache_keep else None),
            log_format=log_format,
            build_task=build_task,
            signs=trust.signer is not None,
            secrets=secrets,
            engine_trouble=partial(engine_trouble, builder),
        ),
        building,
    )


def _tls(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    if (certificate is None) != (key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    return (certificate, key) if certificate is not None and key is not None else None


def default_state() -> Path:
    """One folder a user, wherever the command is run: SDKs remember for a day what they uploaded to it.

    `$XDG_STATE_HOME/flyte-build` (XDG Base Directory Specification).
    """
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "flyte-build"
