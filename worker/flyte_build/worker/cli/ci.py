"""`flyte-build ci`: what `action.yml` runs. Builds or checks, and reports as GitHub shows it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import click

from flyte_build.registry.errors import FlyteBuildError, InvalidInput
from flyte_build.worker.cli.trouble import trouble
from flyte_build.worker.client import bearer
from flyte_build.worker.github import commands
from flyte_build.worker.github.inputs import PREFIX, read_inputs
from flyte_build.worker.github.job import Job
from flyte_build.worker.github.oidc import cloud_identity, may_ask
from flyte_build.worker.github.report import Report
from flyte_build.worker.github.signing import KEY, PASSWORD, signing_key

EXIT_MISSING = 3
_OPTIONAL = (
    *(f"FLYTE_BUILD_REGISTRY_{part}" for part in ("HOST", "USERNAME", "PASSWORD")),
    *(f"FLYTE_BUILD_{part}" for part in ("ENDPOINT", "PROJECT", "DOMAIN")),
    *("AWS_REGION", "GITHUB_TOKEN"),
)


@click.command()
@click.pass_context
def ci(ctx: click.Context) -> None:
    """Do what the GitHub Action's inputs ask (FLYTE_BUILD_ACTION_* variables, see action.yml).

    Writes annotations to stdout, and to the files that GITHUB_OUTPUT and GITHUB_STEP_SUMMARY name. Exit codes are
    those of `image`; 3 only with fail-if-missing.
    """
    report = Report(dict(os.environ), sys.stdout)
    try:
        _mask()
        with (
            tempfile.TemporaryDirectory(prefix="flyte-build-ci-", dir=os.environ.get("RUNNER_TEMP") or None) as folder,
            signing_key(os.environ, Path(folder)) as report.key,
        ):
            inputs = read_inputs(os.environ)
            _enter(Path(folder))
            Job(inputs, report).run()
    # Not shown once more by the frame: the last lines are a build's, and GitHub would obey them.
    except FlyteBuildError as error:
        report.failed(error)
        ctx.exit(1)
    except click.UsageError as error:
        report.failed(InvalidInput(error.format_message()))
        ctx.exit(error.exit_code)
    except OSError as error:
        report.failed(trouble(error))
        ctx.exit(1)
    finally:
        report.write()
    if report.is_missing and inputs.fail_if_missing:
        ctx.exit(EXIT_MISSING)


def _mask() -> None:
    """Secrets are masked before anything else; of a key every line, as they would be printed."""
    given = (os.environ.get(name, "") for name in ("FLYTE_BUILD_REGISTRY_PASSWORD", KEY, PASSWORD))
    for line in (line.strip() for text in given for line in text.splitlines()):
        if line and not line.startswith("-----"):
            click.echo(commands.mask(line))


def _enter(folder: Path) -> None:
    """Goes where the sources are, with the identities that the inputs give."""
    for name in _OPTIONAL:
        if not os.environ.get(name):
            os.environ.pop(name, None)  # an input that was not given comes as an empty text
    os.environ.update(cloud_identity(os.environ, folder))
    _enter_service()
    place = os.environ.get(f"{PREFIX}WORKING_DIRECTORY") or "."
    if not Path(place).is_dir():
        raise InvalidInput(f"the input 'working-directory' names {place}, which is not a folder of the repository")
    os.chdir(place)


def _enter_service() -> None:
    """A build service is shown who the job is, where the job may ask GitHub and no other token is given."""
    audience = os.environ.get(f"{PREFIX}AUDIENCE", "")
    if not os.environ.get(f"{PREFIX}ENDPOINT") or not audience or os.environ.get(bearer.VARIABLE):
        return
    if may_ask(os.environ):
        os.environ[bearer.AUDIENCE] = audience
        click.echo(commands.mask(bearer.bearer()))
