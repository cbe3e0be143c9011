"""What the engine's command line answers, where a program of the test's own answers for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyte_build.registry.errors import EngineError
from flyte_build.worker.runs.container import Containers

LOST = "docker: failed to check image sha256:00: rpc error: code = NotFound desc = content digest sha256:00: not found"


def engine(folder: Path, *answers: str) -> Containers:
    """A `docker` that fails with each of `answers`, one a call, and then prints an id."""
    for number, answer in enumerate(answers):
        (folder / f"answer{number}").write_text(answer, encoding="utf-8")
    program = folder / "docker"
    program.write_text(
        f"""#!/bin/sh
cd '{folder}'
for answer in answer*; do
  [ -e "$answer" ] || break
  cat "$answer" >&2; rm "$answer"; exit 1
done
echo 4f00
""",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return Containers(str(program))


def test_content_that_the_engine_lost_while_pulling_is_pulled_again(tmp_path: Path) -> None:
    assert engine(tmp_path, LOST, LOST).create(("create", "image")) == "4f00"


def test_it_is_given_up_after_three_tries(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="content digest sha256:00: not found"):
        engine(tmp_path, LOST, LOST, LOST).create(("create", "image"))


def test_what_fails_for_another_reason_is_not_tried_again(tmp_path: Path) -> None:
    containers = engine(tmp_path, "Error response from daemon: manifest unknown")
    with pytest.raises(EngineError, match="docker create failed: manifest unknown"):
        containers.create(("create", "image"))
    assert containers.create(("create", "image")) == "4f00"
