"""The command line's frame: finds the command, and is the one place where an error becomes a sentence.

stdout is the answer; progress, notes and errors go to stderr. Exit codes: 0 done, 1 our error, 2 usage, 3 `--check`
found something missing, 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

import click

from flyte_build.registry.errors import BuildFailed, FlyteBuildError

_LOG_LINES = 20


def main() -> NoReturn:
    """The console script. Shows no traceback for an error of ours or the user's (FLYTE_BUILD_DEBUG does)."""
    if {"-h", "--help"} & set(sys.argv[2:]):
        # Help of a command. Rich costs 0.2 s, which neither the list of commands nor an existence check should pay,
        # and must come before click's classes are used.
        from rich_click import rich_click
        from rich_click.patch import patch

        from flyte_build.worker.cli.sections import FLAGS

        patch()
        rich_click.OPTION_GROUPS = {
            f"flyte-build {command}": [{"name": name, "options": list(flags)} for name, flags in sections.items()]
            for command, sections in FLAGS.items()
        }
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # What nohup ignores stays ignored.
        if number and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _terminate)
    sys.exit(run(sys.argv[1:]))


def _terminate(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - a signal handler's signature
    """A termination, and a terminal that is closed, cleans up as Ctrl-C does."""
    raise KeyboardInterrupt


def run(arguments: list[str]) -> int:
    """Run one command line; the exit code."""
    from flyte_build.worker.cli.commands import flyte_build

    try:
        return flyte_build.main(args=arguments, prog_name="flyte-build", standalone_mode=False) or 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as stopped:
        with suppress(OSError):  # the terminal may be what went away
            click.echo(f"flyte-build: interrupted; {_left(stopped)}", err=True)
        return 130
    except BrokenPipeError:
        _drop_answer()
        return 1
    except (FlyteBuildError, OSError) as error:
        if os.environ.get("FLYTE_BUILD_DEBUG"):
            raise
        _fail(error)
        return 1


def _fail(error: FlyteBuildError | OSError) -> None:
    if isinstance(error, FlyteBuildError):
        report(error)
        return
    from flyte_build.worker.cli.trouble import trouble

    with suppress(OSError):
        report(trouble(error))
    _drop_answer()


def _left(stopped: BaseException) -> str:
    """What goes on without us, as the command said when it was interrupted; click makes an Abort of that."""
    cause = stopped.__cause__
    said = str(cause) if isinstance(cause, KeyboardInterrupt) else ""
    return said or "nothing was left half-made, run the command again to go on"


def _drop_answer() -> None:
    """What stdout could not take is not tried again when the process ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def report(error: FlyteBuildError) -> None:
    """Say on stderr what happened and what to change; for a failed build also the last lines of its step."""
    if isinstance(error, BuildFailed) and error.log and not error.shown:
        click.echo(f"\n--- last lines of «{error.step}» ---" if error.step else "\n--- last lines ---", err=True)
        for line in error.log[-_LOG_LINES:]:
            click.echo(f"  {line}", err=True)
        click.echo("", err=True)
    click.echo(f"flyte-build: {_harmless(error.sentence)}", err=True)
    if error.hint:
        click.echo(f"  what to do: {_harmless(error.hint)}", err=True)


def _harmless(text: str) -> str:
    """Errors name files, and those are anybody's text: of control characters only line ends reach a terminal."""
    return "".join(one if one.isprintable() or one == "\n" else f"\\x{ord(one):02x}" for one in text)
