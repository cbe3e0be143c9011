"""Help shows commands and flags under headings: each under one, and none that is not there."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from flyte_build.worker.cli import commands, sections


def test_every_command_stands_below_one_heading() -> None:
    shown = [name for names in sections.COMMANDS.values() for name in names]
    assert sorted(shown) == sorted(commands.flyte_build.list_commands(click.Context(commands.flyte_build)))


@pytest.mark.parametrize("name", sections.FLAGS)
def test_every_flag_stands_below_one_heading(name: str) -> None:
    flags = [one.opts[-1] for one in commands.load(name).params if isinstance(one, click.Option)]
    shown = [flag for flags in sections.FLAGS[name].values() for flag in flags]
    assert sorted(shown) == sorted([*flags, "--help"])


def test_help_shows_them_in_their_order() -> None:
    def said(*words: str) -> list[str]:
        argv = (sys.executable, "-c", "from flyte_build.worker.cli.main import main; main()", *words, "--help")
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()

    headings = [line.removesuffix(":") for line in said() if line[:1].isalpha() and line.endswith(":")]
    assert headings == ["Options", *sections.COMMANDS]
    boxes = [line.strip("╭─╮ ") for line in said("image") if line.startswith("╭")]
    assert boxes == list(sections.FLAGS["image"])
