"""A registry that does not answer: why, and when it is tried again, is said while there is still time to stop."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest
from flyteidl2.imagebuilder import definition_pb2 as pb
from tests.e2e.conftest import BIN, run
from tests.registry.doubles import Says, faulty_registry

from flyte_build.builder.engine import BuildEvent
from flyte_build.registry.errors import RegistryUnavailable
from flyte_build.worker.builds.request import BuildRequest
from flyte_build.worker.drivers.service import ServiceBuilding

# A process of its own for each command: no part of `make check`.
pytestmark = pytest.mark.real
GONE = "127.0.0.1:9"
AGAIN = [
    f"cannot reach http://{GONE}: connection refused; trying again in {seconds} s ({number} of 4)"
    for seconds, number in ((0.1, 2), (0.2, 3), (0.4, 4))
]


def spec_file(folder: Path, registry: str) -> Path:
    file = folder / "image.toml"
    digest = "0" * 64
    file.write_text(f'name = "x"\nbase = "{registry}/base@sha256:{digest}"\n', encoding="utf-8")
    return file


def asked(folder: Path, mode: str) -> list[str]:
    argv = ("flyte-build", "image", spec_file(folder, GONE), "--registry", f"{GONE}/x", "--progress", mode)
    done = run(*argv)
    assert (done.code, done.out) == (1, "")
    *before, sentence, hint = done.err.splitlines()
    assert f"cannot reach http://{GONE}: connection refused" in sentence
    assert hint.startswith("  what to do: ")
    return before


@pytest.mark.parametrize("mode", ["plain", "auto"])
def test_each_attempt_says_what_and_why_and_when(tmp_path: Path, mode: str) -> None:
    assert asked(tmp_path, mode) == AGAIN


def test_programs_hear_it_as_notes_and_who_wants_quiet_has_it(tmp_path: Path) -> None:
    said = [json.loads(line) for line in asked(tmp_path, "json")]
    assert [(one["event"], one["text"]) for one in said] == [("Note", sentence) for sentence in AGAIN]
    assert asked(tmp_path, "quiet") == []


@pytest.mark.parametrize(
    "command",
    [
        ("images", "list", f"{GONE}/x"),
        ("images", "inspect", f"{GONE}/x:1"),
        ("images", "prune", f"{GONE}/x", "--dry-run"),
        ("verify", f"{GONE}/x:1"),
        ("bundles", "fetch", f"oci://{GONE}/x@sha256:{'0' * 64}"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_so_does_every_command_about_a_registry(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = run("flyte-build", *command, cwd=tmp_path)
    assert done.err.splitlines()[:3] == AGAIN


def test_it_is_said_before_the_wait(tmp_path: Path) -> None:
    busy = Says(429, b"", (("retry-after", "2"),))
    with faulty_registry() as faulty:
        faulty.answers["/v2/"] = [busy, Says(200, b"{}")]
        file = spec_file(tmp_path, str(faulty.registry))
        argv = [str(BIN / "flyte-build"), "image", str(file), "--registry", f"{GONE}/x"]
        with subprocess.Popen(argv, stderr=subprocess.PIPE, env=os.environ, text=True) as process:
            assert process.stderr is not None
            first = process.stderr.readline()
            asked_by_then = len(faulty.seen)
            process.stderr.read()
    assert first == f"{faulty.registry} answered 429 Too Many Requests; trying again in 2.0 s (2 of 4)\n"
    assert (asked_by_then, len(faulty.seen) > 1) == (1, True)


class Log:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def __call__(self, text: str) -> None:
        self.notes.append(text)

    def step(self, event: BuildEvent) -> None: ...


def test_the_log_of_a_service_says_it_too() -> None:
    log, spec = Log(), pb.ImageSpec(base_image=f"{GONE}/base:1", platform=["linux/amd64"])
    request = BuildRequest(
        spec=spec.SerializeToString(), context=None, target="x:1", project="p", domain="d", force=False
    )
    with pytest.raises(RegistryUnavailable):
        ServiceBuilding(registry=f"{GONE}/x")(request, log, threading.Event())
    assert log.notes == AGAIN
