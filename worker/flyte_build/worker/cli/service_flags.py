"""Flags that the processes of a service have in common: what they share must be said to each of them."""

from __future__ import annotations

import click

store_option = click.option(
    "--store", metavar="URL", help="Keep uploads in a directory, s3://…, gs://… or az://…, not in --state."
)
database_option = click.option(
    "--database",
    metavar="URL",
    default="",
    envvar="FLYTE_BUILD_DATABASE",
    help="postgresql://user:password@host/name, or sqlite:////file; SQLite in --state by default.",
)
broker_option = click.option(
    "--broker",
    metavar="URL",
    default="",
    envvar="FLYTE_BUILD_BROKER",
    help="redis://host:6379/0 or amqp://host:5672//; without one, builds are looked for every two seconds.",
)
queue_timeout_option = click.option(
    "--queue-timeout",
    type=click.FloatRange(min=0),
    default=0,
    metavar="SECONDS",
    help="Fail builds that no worker took for so long; 0 lets them wait.",
)
lease_option = click.option(
    "--lease",
    type=click.FloatRange(min=1),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long a worker may be silent until its builds are another's; the same for every process.",
)
