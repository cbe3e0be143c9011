"""The group of commands. Imported by `main` only when it knows whether help will be shown."""

from __future__ import annotations

import importlib

import click

from flyte_build.worker.cli import sections

_COMMANDS = {
    "image": "Build images from specs, or find that they exist.",
    "images": "Say what a repository holds, and prune it.",
    "verify": "Say whether what is attached to an image holds, and who signed it.",
    "bundle": "Pack a source tree and upload it.",
    "bundles": "Say what a service keeps of uploads, and prune it.",
    "serve": "Run the endpoint, with a worker inside or without.",
    "worker": "Take builds from an endpoint's database.",
    "register": "Put the build-image task into a Flyte endpoint.",
    "builds": "Say what a build service does and did; follow and stop builds.",
    "token": "Make a token for a service's rules.",
    "ci": "Do what the GitHub Action asks, and report as GitHub shows it.",
    "task": "Build the image that Flyte asks the registered task for.",
    "doctor": "Say what is here, what is missing, and what to do.",
}
# What other programs of ours start, and people do not.
_HIDDEN = ("task",)


class _Commands(click.Group):
    """Loads a command's module when the command is asked for: `image --check` must not pay for `serve`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [name for name in _COMMANDS if name not in _HIDDEN]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for heading, names in sections.COMMANDS.items():
            with formatter.section(heading):
                formatter.write_dl([(name, _COMMANDS[name]) for name in names], col_max=10)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """What the group's own help says of a command; only `resolve_command` loads one."""
        if cmd_name not in _COMMANDS:
            return None
        return click.Command(cmd_name, short_help=_COMMANDS[cmd_name], help=_COMMANDS[cmd_name])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in _COMMANDS:
            import difflib

            shown = self.list_commands(ctx)
            near = difflib.get_close_matches(name, shown, n=1)
            suggestion = f"; did you mean {near[0]!r}?" if near else f"; commands: {', '.join(shown)}"
            raise click.UsageError(f"there is no command {name!r}{suggestion}", ctx)
        if name in _COMMANDS:
            return name, load(name), args[1:]
        return super().resolve_command(ctx, args)


def load(name: str) -> click.Command:
    """The command of this name, with its flags."""
    command = getattr(importlib.import_module(f"flyte_build.worker.cli.{name}"), name)
    assert isinstance(command, click.Command)  # noqa: S101 - for mypy; the table above is ours
    return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="flyte-build", message="%(prog)s %(version)s")
def flyte_build() -> None:
    """Image builds and code bundles for Flyte 2."""
