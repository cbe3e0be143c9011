"""A few characters of a build's id are enough where they mean one build, of those that one may see."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from tests.worker.conftest import Served
from tests.worker.guarded import Guarded
from tests.worker.make import keep, kept
from tests.worker.test_builds_cli import cli

from flyte_build.worker.builds.listing import beginning
from flyte_build.worker.database.engine import Database

ONE, OTHER, THIRD = "abcd1" + "0" * 27, "abcd2" + "0" * 27, "ef" + "1" * 30


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        pytest.param("abcd", {ONE, OTHER}, id="of two"),
        pytest.param("abcd1", {ONE}, id="of one"),
        pytest.param(ONE, {ONE}, id="whole"),
        pytest.param("ef11", {THIRD}, id="of another"),
        pytest.param("ffff", set(), id="of none"),
        pytest.param("ef1", set(), id="too short"),
        pytest.param("", set(), id="nothing"),
        pytest.param("abcd_", set(), id="any character in SQL"),
        pytest.param("abc%", set(), id="any characters in SQL"),
        pytest.param("ABCD1", set(), id="not as ids are written"),
        pytest.param("abcd\n", set(), id="a line"),
    ],
)
def test_an_id_begins_so(database: Database, prefix: str, expected: set[str]) -> None:
    for one in (ONE, OTHER, THIRD):
        keep(database, one)
    assert {build.id for build in beginning(database, prefix)} == expected


def test_what_one_may_not_see_is_no_candidate(database: Database) -> None:
    keep(database, ONE, project="p")
    keep(database, OTHER, project="q")
    (mine,) = beginning(database, "abcd", lambda project, _: project == "p")
    assert mine.id == ONE


@pytest.mark.real
def test_a_short_id_is_enough_for_every_command(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    kept(served.state, (ONE, "p"), (THIRD, "p"))
    assert cli(served, "show", "abcd", "--json") == 0
    assert json.loads(capfd.readouterr().out)["build"]["id"] == ONE
    assert cli(served, "logs", "ef11") == 0
    assert f"build {THIRD}: failed" in capfd.readouterr().err
    assert cli(served, "cancel", "ef11", "--json") == 0
    assert json.loads(capfd.readouterr().out) == {"version": 1, "id": THIRD, "runs": 0}


@pytest.mark.real
def test_one_that_turned_out_to_be_anothers_is_that_one(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    kept(served.state, (THIRD, "p"))
    database = Database(f"sqlite:///{served.state / 'flyte-build.db'}")
    keep(database, ONE, joined=THIRD)
    database.close()
    assert cli(served, "show", "abcd", "--json") == 0
    assert json.loads(capfd.readouterr().out)["build"]["id"] == THIRD


@pytest.mark.real
@pytest.mark.parametrize("command", ["show", "logs", "cancel"])
def test_one_that_means_several_names_them_and_one_that_means_none_says_what_to_do(
    served: Served, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    kept(served.state, (ONE, "p"), (OTHER, "p"))
    assert cli(served, command, "abcd") == 1
    said = " ".join(capfd.readouterr().err.split())
    assert f"abcd begins the ids of 2 builds: {ONE} (failed, abcd1:1) and {OTHER} (failed, abcd2:1)" in said
    assert "give more of the id" in said
    assert cli(served, command, "0000") == 1
    said = " ".join(capfd.readouterr().err.split())
    assert f"there is no build 0000 at {served.url}" in said
    assert f"flyte-build builds list --endpoint {served.url}" in said
    assert cli(served, command, "abc") == 1
    assert "4 characters" in " ".join(capfd.readouterr().err.split())


@pytest.mark.real
def test_many_are_not_all_named(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    kept(served.state, *[(f"abcd{number:028x}", "p") for number in range(9)])
    assert cli(served, "show", "abcd") == 1
    said = " ".join(capfd.readouterr().err.split())
    assert "the ids of more than 5 builds: " in said
    assert said.count("(failed, abcd0:1)") == 5


@pytest.mark.real
def test_a_foreign_projects_build_makes_nothing_ambiguous_and_is_not_found(guarded: Guarded) -> None:
    kept(guarded.served.state, (ONE, "p"), (OTHER, "q"), (THIRD, "q"))

    def get(who: str, build: str, method: str = "GET", more: str = "") -> tuple[int, str]:
        return guarded.get(f"/api/v1/builds/{build}{more}", method, **guarded.header(who))[:2]

    assert [json.loads(get(who, "abcd")[1])["build"]["id"] for who in ("alice", "bob")] == [ONE, OTHER]
    for more, method in (("", "GET"), ("/log", "GET"), ("/cancel", "POST")):
        unknown = get("alice", "eeee", method, more)
        assert unknown[0] == 404
        assert get("alice", "ef11", method, more) == (404, unknown[1].replace("eeee", "ef11"))
        assert get("alice", THIRD, method, more)[0] == 404
    status, said, _ = guarded.get("/api/v1/builds/abcd", authorization=f"Bearer {guarded.everything}")
    assert status == 409
    assert ONE in said
    assert OTHER in said


@pytest.mark.real
def test_a_list_has_short_ids_on_a_terminal_and_whole_ones_for_programs(served: Served) -> None:
    kept(served.state, (ONE, "p"))
    argv = (str(Path(sys.executable).parent / "flyte-build"), "builds", "list", "--endpoint", served.url)
    piped = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert piped.split()[0] == ONE
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        subprocess.run(argv, stdout=theirs, stderr=theirs, check=True, stdin=subprocess.DEVNULL)
        os.close(theirs)
        assert terminal.read(4096).decode().split()[0] == ONE[:8]
