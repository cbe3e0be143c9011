"""Builds that are ended from outside, and machines that refuse: nothing stays, or goes with the next build."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import run
from tests.e2e.test_image import spec_file

pytestmark = pytest.mark.real
BIN = Path(sys.executable).parent
SECRET = "no-such-word-anywhere"


def left(*folders: Path) -> list[str]:
    """The files below, but locks."""
    return sorted(path.name for one in folders for path in one.rglob("*") if path.is_file() and path.name != ".lock")


def ended_by(number: int, argv: list[str], env: Mapping[str, str], running: Path) -> int:
    """The exit code of a build that got the signal once `running` holds something."""
    command = [str(BIN / "flyte-build"), *argv]
    ignored = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as a terminal gives it: the tests may run under nohup
    started = subprocess.Popen(command, env=os.environ | env, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    signal.signal(signal.SIGHUP, ignored)
    with started as process:
        end = time.monotonic() + 60
        while not left(running):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(number)
        process.communicate(timeout=60)
    return process.returncode


def test_a_closed_terminal_leaves_nothing_and_a_kill_only_until_the_next_build(
    tmp_path: Path, parts: Parts, where: str
) -> None:
    cache, temporary = tmp_path / "cache", tmp_path / "tmp"
    temporary.mkdir()
    files = tuple(cache / name for name in ("builds", "docker", "secrets"))
    env = {"FLYTE_BUILD_CACHE": str(cache), "TMPDIR": str(temporary), "WORD": SECRET}
    slow = str(spec_file(tmp_path, parts, 'env = { A = "1" }\n[[layers]]\ncommands = ["sleep 60"]'))
    argv = ["image", slow, "--registry", where, "--secret", "id=word,env=WORD"]
    assert ended_by(signal.SIGHUP, argv, env, files[1]) == 130
    assert left(*files, temporary) == []
    assert ended_by(signal.SIGKILL, argv, env, files[1]) == -signal.SIGKILL
    assert "config.json" in left(*files)
    assert left(temporary) == []
    (tmp_path / "quick").mkdir()
    quick = spec_file(tmp_path / "quick", parts, 'env = { A = "2" }')
    assert run("flyte-build", "image", quick, "--registry", where, env=env).code == 0
    assert left(*files, temporary) == []


@pytest.mark.parametrize(
    ("cache", "said"),
    [
        pytest.param("/dev/null/x", "not a directory", id="a cache below a file"),
        pytest.param("/proc/x", "no such file or directory", id="a cache where nothing can be made"),
    ],
)
def test_a_cache_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, parts: Parts, where: str, cache: str, said: str
) -> None:
    file = spec_file(tmp_path, parts, 'env = { A = "1" }')
    done = run("flyte-build", "image", file, "--registry", where, env={"FLYTE_BUILD_CACHE": cache})
    assert done.code == 1
    assert f"the operating system refused {cache}" in done.err
    assert said in done.err
    assert "what to do: " in done.err
    assert "Traceback" not in done.err


def test_an_answer_that_finds_no_room_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("A = 1\n")
    command = [str(BIN / "flyte-build"), "bundle", ".", "--dry-run", "--json"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert "no space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_file_that_cannot_be_copied_says_what_it_needs(tmp_path: Path, parts: Parts, where: str) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    with (tmp_path / "large").open("wb") as file:
        file.truncate(64 << 20)
    spec = spec_file(tmp_path, parts, 'copy = "large"\nto = "/"')
    env = {"FLYTE_BUILD_CACHE": str(cache)}
    limited = ("bash", "-c", 'ulimit -f 1024; exec "$0" "$@"', str(BIN / "flyte-build"))
    done = run(*limited, "image", spec, "--registry", where, env=env)
    assert done.code == 1
    assert "cannot be copied for the build" in done.err
    assert "FLYTE_BUILD_CACHE" in done.err
    assert left(cache / "builds") == []
