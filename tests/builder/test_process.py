"""Running a client: what it says comes through whole, and nothing of it is left when it is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from flyte_build.builder import process


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ignores the interrupt is not given its five seconds."""
    monkeypatch.setattr(process, "_GRACE", 0.3)


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pids: list[int], patience: float = 10) -> bool:
    """Whether all of them end in time."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def run(script: str, timeout: float | None = None) -> tuple[int | None, str]:
    """A shell's exit code and what it said."""
    said: list[str] = []
    code = process.run(("sh", "-c", script), said.append, cancelled=threading.Event(), timeout=timeout)
    return code, "".join(said)


def test_the_exit_code_and_all_of_stderr_come_back() -> None:
    assert run("echo out; echo one >&2; sleep 0.05; echo two >&2; exit 3") == (3, "one\ntwo\n")


def test_a_character_may_come_in_two_reads() -> None:
    assert run(r"printf '\303' >&2; sleep 0.2; printf '\251\n\377' >&2") == (0, "é\n\ufffd")


def test_the_environment_is_what_is_given() -> None:
    said: list[str] = []
    argv = ("/bin/sh", "-c", 'echo "$A-$HOME" >&2')
    process.run(argv, said.append, cancelled=threading.Event(), environment={"A": "1"})
    assert said[0] == "1-\n"


GROUPS = {
    "children in the background": "sleep 300 & echo $! $$ >&2; sleep 300",
    "children that ignore the interrupt": "trap '' INT; sleep 300 & echo $! $$ >&2; wait",
    "children of a leader that ended": "sleep 300 & echo $! $$ >&2; exit 0",
}


@pytest.mark.parametrize("script", GROUPS.values(), ids=GROUPS.keys())
def test_cancelling_ends(script: str) -> None:
    cancelled, said = threading.Event(), []

    def hear(text: str) -> None:
        said.append(text)
        if "\n" in text:
            cancelled.set()

    assert process.run(("sh", "-c", script), hear, cancelled=cancelled) is None
    assert gone([int(word) for word in "".join(said).split()])


def test_a_timeout_ends_it_too() -> None:
    code, said = run("echo $$ >&2; sleep 300", timeout=0.3)
    assert code is None
    assert gone([int(said)])


def test_a_process_that_closed_stderr_and_lives_on_is_ended_too(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    assert run(f"echo $$ > {file}; exec sleep 300 2>&-", timeout=0.5) == (None, "")
    assert gone([int(file.read_text(encoding="ascii"))])


def test_whoever_stops_listening_ends_it() -> None:
    said: list[str] = []

    def hear(text: str) -> None:
        said.append(text)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process.run(("sh", "-c", "echo $$ >&2; sleep 300"), hear, cancelled=threading.Event())
    assert gone([int(said[0])])


def test_an_interrupt_comes_first_so_that_the_client_can_tidy_up(tmp_path: Path) -> None:
    tidy = tmp_path / "tidy"
    code, _ = run(f"trap 'touch {tidy}; exit 0' INT; echo x >&2; while :; do sleep 0.05; done", timeout=0.3)
    assert code is None
    assert tidy.exists()


def test_it_has_a_process_group_of_its_own() -> None:
    _, said = run("{ ps -o pgid= -p $$ 2>/dev/null || cut -d' ' -f5 /proc/$$/stat; } >&2")
    assert int(said) != os.getpgrp()


def test_it_cannot_ask_questions() -> None:
    assert run("read answer || echo nobody >&2") == (0, "nobody\n")


def test_a_program_that_is_not_there_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError):
        process.run(("/no/such/program",), print, cancelled=threading.Event())


def test_a_signal_shows_in_the_code() -> None:
    assert run("kill -TERM $$")[0] == -signal.SIGTERM


ORPHANING = """
import threading
from flyte_build.builder import process
argv = ("sh", "-c", "echo $$ >&2; sleep 300 & wait")
process.run(argv, lambda text: print(text, flush=True), cancelled=threading.Event())
"""


def test_a_client_and_its_children_die_with_a_process_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", ORPHANING], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        client = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 20
    while members(client):
        assert time.monotonic() < deadline, "the client goes on"
        time.sleep(0.05)


HANGING = """
import threading, time
from flyte_build.builder import process
argv = ("sh", "-c", "echo $$ >&2; sleep 300 & wait")
hear = lambda text: print(text, flush=True)
process.run(argv, hear, cancelled=threading.Event(), until=lambda: time.monotonic() + 1)
"""


def test_a_client_goes_on_while_its_process_says_so_and_dies_with_one_that_is_stopped() -> None:
    with subprocess.Popen([sys.executable, "-c", HANGING], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        client = int(parent.stdout.readline())
        time.sleep(2.5)
        assert members(client), "it is longer than it was given, but it was given more"
        parent.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 20
        while members(client):
            assert time.monotonic() < deadline, "the client goes on"
            time.sleep(0.05)
        assert Path(f"/proc/{parent.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "it is still stopped"
        parent.send_signal(signal.SIGCONT)
        assert parent.wait(20) == 0


def test_what_may_not_go_on_is_stopped() -> None:
    said: list[str] = []
    argv, end = ("sh", "-c", "echo $$ >&2; sleep 300"), time.monotonic() + 60
    # Not before it has said who it is, which takes a busy machine more than a moment.
    assert process.run(argv, said.append, cancelled=threading.Event(), until=lambda: 0.0 if said else end) is None
    assert gone([int(said[0])])


def test_telling_how_long_leaves_no_processes_behind() -> None:
    said: list[str] = []
    argv = ("sh", "-c", "echo $$ >&2; sleep 1.5; ps -o stat=,comm= -g $$ | grep -c '^[^Z].* sleep$' >&2")
    process.run(argv, said.append, cancelled=threading.Event(), until=lambda: time.monotonic() + 60)
    client, sleeping = "".join(said).split()
    assert int(sleeping) <= 3, "the last one that it was told, of more than ten"
    # What was killed takes a moment to be gone.
    deadline = time.monotonic() + 20
    while left := members(int(client)):
        assert time.monotonic() < deadline, f"{left} go on"
        time.sleep(0.05)


def members(group: int) -> list[str]:
    """Whoever runs in the process group."""
    return [place.name for place in Path("/proc").glob("[0-9]*") if group_of(place) == group and alive(int(place.name))]


def group_of(place: Path) -> int:
    try:
        return int((place / "stat").read_text().rpartition(")")[2].split()[2])
    except OSError:
        return 0
