"""`flyte-build worker`: a builder without an endpoint."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidInput
from flyte_build.worker import settings as configured
from flyte_build.worker.cli.serve import default_state
from flyte_build.worker.cli.service_flags import (
    access_option,
    broker_option,
    builder_name,
    builder_option,
    builder_tls_option,
    cache_option,
    lease_option,
    log_format_option,
    place_of,
    queue_timeout_option,
    secrets_option,
    store_option,
    trust_registry_option,
    warn_early,
    worker_database_option,
)
from flyte_build.worker.cli.trusting import TrustFlags, trust_options

if TYPE_CHECKING:
    from flyte_build.worker.operating.log_lines import Format


@click.command()
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="A folder to work in, also for several workers; ~/.local/state/flyte-build by default.",
)
@click.option("--registry", help="Where images go whose request names no registry; as the endpoint's.")
@store_option
@worker_database_option
@broker_option
@secrets_option
@trust_options
@access_option
@builder_option
@builder_tls_option
@trust_registry_option
@click.option("--concurrency", default=2, show_default=True, type=click.IntRange(min=1), help="Builds at once.")
@click.option("--platform", "platforms", multiple=True, help="Take builds for this only (repeatable); all by default.")
@click.option(
    "--build-timeout",
    type=click.FloatRange(min=1),
    default=3600,
    show_default=True,
    metavar="SECONDS",
    help="Stop builds that take longer.",
)
@queue_timeout_option
@lease_option
@cache_option
@log_format_option
@click.option(
    "--drain",
    type=click.FloatRange(min=0),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="At SIGTERM, what running builds are given to end before they are put back.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    envvar="FLYTE_BUILD_METRICS_PORT",
    help="Answer /healthz, /readyz and /metrics here.",
)
@click.option("--metrics-host", default="127.0.0.1", show_default=True, help="0.0.0.0 in a pod.")
def worker(
    state: Path | None,
    registry: str | None,
    store: str | None,
    database: str,
    broker: str,
    secrets: Path | None,
    trusting: TrustFlags,
    access: Path | None,
    builder: str | None,
    builder_tls: Path | None,
    trust_registry: bool,
    concurrency: int,
    platforms: tuple[str, ...],
    build_timeout: float,
    queue_timeout: float,
    lease: float,
    cache_keep: str | None,
    log_format: Format,
    drain: float,
    metrics_host: str,
    metrics_port: int | None,
) -> None:
    """Take builds that `flyte-build serve` accepted, and build them with the BuildKit that --builder names.

    SIGTERM lets running builds end; a second one puts them back into the queue.
    """
    found = configured.load(Path.cwd())
    target = registry or found.registry
    if target is None:
        raise click.UsageError("the worker has no registry to push images to: give --registry, as the endpoint's")
    if not database:
        raise InvalidInput(
            "a worker needs the database of its endpoint",
            hint="give --database, or set FLYTE_BUILD_DATABASE; `flyte-build serve` alone has a worker inside",
        )
    from flyte_build.builder.buildx.docker import engine_trouble
    from flyte_build.builder.provenance import BUILDER_SERVICE
    from flyte_build.worker.access.gate import policies_of
    from flyte_build.worker.drivers.service import ServiceBuilding
    from flyte_build.worker.operating.cache import Cache, parse_size
    from flyte_build.worker.pod import PodSettings, work
    from flyte_build.worker.secrets.projects import ProjectSecrets

    place, state = place_of(target), state or default_state()
    builder = builder_name(builder or found.builder, builder_tls, state)
    trust = trusting.trust(found, BUILDER_SERVICE)
    if trust.signer is not None:
        trust.signer.ready()
    threading.Thread(target=warn_early, args=(place, builder), daemon=True).start()
    wanted = tuple(Platform.parse(text) for text in platforms)
    work(
        PodSettings(
            state=state,
            database=database,
            broker=broker,
            store=store or found.store or "",
            concurrency=concurrency,
            platforms=",".join(map(str, wanted)),
            lease=lease,
            drain=drain,
            queue_timeout=queue_timeout,
            cache=Cache(builder=builder or found.builder, keep=parse_size(cache_keep) if cache_keep else None),
            log_format=log_format,
            signs=trust.signer is not None,
            engine_trouble=partial(engine_trouble, builder),
            metrics=None if metrics_port is None else (metrics_host, metrics_port),
        ),
        ServiceBuilding(
            registry=target,
            builder=builder,
            timeout=build_timeout,
            policies=policies_of(target, access),
            secrets=ProjectSecrets(root=secrets),
            trust_registry=trust_registry,
            trust=trust,
        ),
    )
