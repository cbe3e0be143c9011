"""`flyte-build bundle` as a person runs it: what is on stdout, what on stderr, and the exit code."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from flyte_build.bundler import wire
from flyte_build.bundler.pickling import load_pickle
from flyte_build.bundler.receive import extract
from flyte_build.bundler.wire import Patience
from flyte_build.registry.names import Digest
from flyte_build.worker.cli.bundle_show import Moved
from flyte_build.worker.cli.main import run

from . import doubles, trees


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    out: str
    err: str


Cli = Callable[..., Said]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    def call(*arguments: object) -> Said:
        code = run(["bundle", *map(str, arguments)])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return call


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {"main.py": "print()\n", "lib/x.py": "x" * 2000, "skip.log": "", ".flyteignore": "*.log\n", "l": "->lib"}
    made = trees.make(tmp_path / "project", files)
    monkeypatch.chdir(made)
    return made


def test_a_file_is_written_and_its_path_printed(cli: Cli, root: Path, tmp_path: Path) -> None:
    said = cli("--output", tmp_path / "b.tar.gz")
    assert (said.code, said.out) == (0, f"{tmp_path}/b.tar.gz\n")
    assert "4 files" in said.err
    assert "written" in said.err
    assert {e.path for e in extract(tmp_path / "b.tar.gz", tmp_path / "out").entries} == {
        ".flyteignore",
        "l",
        "lib/x.py",
        "main.py",
    }


def test_an_archive_inside_the_tree_is_not_in_the_next_one(cli: Cli, root: Path) -> None:
    first, second = cli("--output", "b.tar.gz", "--json"), cli("--output", "b.tar.gz", "--json")
    assert first.out == second.out


def test_it_is_uploaded_once(cli: Cli, root: Path) -> None:
    with doubles.store() as store, doubles.endpoint(doubles.Service(store, ours=True)) as url:
        first, second = cli("--endpoint", url), cli("--endpoint", url, "--project", "p", "--domain", "d")
        again = cli("--endpoint", url)
    assert first.out.startswith("s3://bucket/flytesnacks/development/")
    assert second.out.startswith("s3://bucket/p/d/")
    assert again.out == first.out
    assert ", uploaded" in first.err
    assert "already uploaded" in again.err
    assert (first.code, again.code) == (0, 0)


def test_endpoint_project_and_domain_may_be_settings(cli: Cli, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with doubles.store() as store, doubles.endpoint(doubles.Service(store, ours=True)) as url:
        for name, value in (("ENDPOINT", url), ("PROJECT", "p"), ("DOMAIN", "d")):
            monkeypatch.setenv(f"FLYTE_BUILD_{name}", value)
        assert cli().out.startswith("s3://bucket/p/d/")


def test_json_is_the_documented_document(cli: Cli, root: Path, tmp_path: Path) -> None:
    document = json.loads(cli("--output", tmp_path / "b.tar.gz", "--json").out)
    bundle = document.pop("bundle")
    assert document == {"version": 1}
    assert list(bundle) == ["kind", "digest", "archive_digest", "files", "bytes", "archive_bytes", "uri"]
    Digest.parse(bundle["digest"])
    Digest.parse(bundle["archive_digest"])
    size = (tmp_path / "b.tar.gz").stat().st_size
    assert (bundle["kind"], bundle["files"], bundle["bytes"], bundle["archive_bytes"]) == ("tgz", 4, 2014, size)
    assert bundle["uri"] == (tmp_path / "b.tar.gz").as_uri()


def test_a_dry_run_shows_the_tree_with_sizes_and_writes_nothing(cli: Cli, root: Path, tmp_path: Path) -> None:
    said = cli("--dry-run", "--output", tmp_path / "b.tar.gz")
    lines = [" ".join(line.split()) for line in said.out.splitlines()]
    assert lines[:-1] == ["6 B .flyteignore", "0 B l -> lib", "2.0 KiB lib/", "2.0 KiB x.py", "8 B main.py"]
    assert lines[-1].startswith("2.0 KiB 4 files, sha256:")
    assert not (tmp_path / "b.tar.gz").exists()
    document = json.loads(cli("--dry-run", "--json").out)["bundle"]
    assert (document["archive_digest"], document["archive_bytes"], document["uri"]) == (None, None, None)
    assert document["digest"] in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["skip.log"], "skip.log is out: .flyteignore, line 1: *.log", id="out"),
        pytest.param(["main.py"], "main.py is in: nothing leaves it out", id="in"),
        pytest.param(
            ["skip.log", "--include", "*.log", "--dry-run"],
            "skip.log is in: it was asked for by --include *.log",
            id="in because it was asked for",
        ),
        pytest.param(
            ["lib/.env"],
            "lib/.env is out: it looks like a secret (an environment file), and no bundle is made "
            "until it is left out or named with --include",
            id="refused as a secret",
        ),
        pytest.param(
            ["lib/.env", "--include", "lib/.env"],
            "lib/.env is in: it was asked for by --include lib/.env",
            id="a secret that was named",
        ),
    ],
)
def test_explain_says_why(cli: Cli, root: Path, arguments: list[str], says: str) -> None:
    trees.make(root, {"lib/.env": "A=1\n"})
    assert cli("--explain", *arguments).out == says + "\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param([], 2, "--endpoint URL or --output FILE", id="nowhere to go"),
        pytest.param(["--no-such-flag"], 2, "No such option", id="an unknown flag"),
        pytest.param(["nowhere", "--dry-run"], 1, "no such folder", id="a folder that is not there"),
        pytest.param(["nowhere"], 1, "no such folder", id="a folder that is not there, and no place either"),
        pytest.param(["main.py"], 1, "--entrypoint FILE", id="a file where a folder should be"),
        pytest.param(["--explain", "nowhere"], 1, "nowhere is not in", id="a path that is not there"),
        pytest.param(["--explain", "/etc/passwd"], 1, "/etc/passwd is not in", id="a path elsewhere"),
        pytest.param(["--explain", "../.."], 1, "../.. is not in", id="a path above"),
        pytest.param(["--output", "no/b.tgz"], 1, "there is no folder no", id="no folder for the archive"),
        pytest.param(["--output", "pipe"], 1, "it is no plain file", id="a pipe (or a device) for the archive"),
        pytest.param(["--include", "!x", "--dry-run"], 1, "includes nothing", id="an include that excludes"),
        pytest.param(["--endpoint", "ftp://x"], 1, "is not an endpoint", id="an endpoint that is none"),
        pytest.param(
            ["--endpoint", "http://me:pw-of-mine@x"],
            1,
            "with a user or a password in it is not",
            id="an endpoint with a password",
        ),
        pytest.param(["--output", "main.py/x"], 1, "cannot be written", id="a file that cannot be"),
    ],
)
def test_what_cannot_be_is_one_sentence(cli: Cli, root: Path, arguments: list[str], code: int, says: str) -> None:
    os.mkfifo(root / "pipe")
    said = cli(*arguments)
    assert (said.code, said.out) == (code, "")
    assert says in said.err
    assert "Traceback" not in said.err
    assert "pw-of-mine" not in said.err


def test_an_include_that_matches_nothing_is_said(cli: Cli, root: Path) -> None:
    said = cli("--dry-run", "--include", "*.nothing", "--include", "lib", "--include", "x.*", "--include", "l")
    assert said.err == "note: --include *.nothing matches nothing\n"


def test_a_path_may_be_a_whole_one(cli: Cli, root: Path) -> None:
    assert cli("--explain", root / "main.py").out == f"{root}/main.py is in: nothing leaves it out\n"


def test_a_name_reaches_the_terminal_without_its_escapes(cli: Cli, root: Path) -> None:
    (root / "a\x1b[31mb\n").touch()
    assert "a\\x1b[31mb\\x0a" in cli("--dry-run").out
    (root / ".env\x1b[31m").touch()
    said = cli("--dry-run").err
    assert ".env\\x1b[31m (an environment file)" in said
    assert "--include .env\\x1b[31m" in said


def test_importing_the_command_does_not_import_the_network() -> None:
    code = "import sys, flyte_build.worker.cli.bundle; print({'urllib3', 'flyteidl2', 'pathspec'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


def test_an_entry_point_takes_only_what_it_needs(cli: Cli, root: Path, tmp_path: Path) -> None:
    (root / "main.py").write_text("import lib.x\n")
    said = cli("--entrypoint", "main.py", "--dry-run")
    assert [line.split()[-1] for line in said.out.splitlines()[:-1]] == ["lib/", "x.py", "main.py"]
    why = cli("--entrypoint", "main.py", "--explain", "lib/x.py").out
    assert why == "lib/x.py is in: main.py, line 1, imports lib.x\n"
    assert cli("--entrypoint", "main.py", "--output", tmp_path / "b.tar.gz").code == 0
    assert {e.path for e in extract(tmp_path / "b.tar.gz", tmp_path / "out").entries} == {"main.py", "lib/x.py"}


def test_another_root_is_laid_over_the_tree(cli: Cli, root: Path, tmp_path: Path) -> None:
    other = trees.make(tmp_path / "other", {"shared/y.py": "y"})
    assert cli("--root", other, "--output", tmp_path / "b.tar.gz").code == 0
    paths = {e.path for e in extract(tmp_path / "b.tar.gz", tmp_path / "out").entries}
    assert paths == {".flyteignore", "l", "lib/x.py", "main.py", "shared/y.py"}
    assert (tmp_path / "out/shared/y.py").read_text() == "y"


def test_a_pickle_is_written_and_uploaded(cli: Cli, root: Path, tmp_path: Path) -> None:
    (root / "pickled_by_cli.py").write_text("def task(): return 7\n")
    said = cli("--pickle", "pickled_by_cli:task", "--output", tmp_path / "b.pkl.gz", "--json")
    document = json.loads(said.out)["bundle"]
    assert (document["kind"], document["files"]) == ("pkl", 1)
    assert load_pickle(tmp_path / "b.pkl.gz", Digest.parse(document["digest"]))() == 7  # type: ignore[operator]
    with doubles.store() as store, doubles.endpoint(doubles.Service(store, ours=True)) as url:
        assert cli("--endpoint", url, "--pickle", "pickled_by_cli:task").out.endswith("/bundle.pkl.gz\n")
        assert "already uploaded" in cli("--endpoint", url, "--pickle", "pickled_by_cli:task").err


def test_what_a_module_prints_is_no_part_of_the_answer(cli: Cli, root: Path) -> None:
    (root / "prints_at_import.py").write_text("print('loud')\ndef task(): return 7\n")
    said = cli("--pickle", "prints_at_import:task", "--output", "b.pkl.gz")
    assert (said.code, said.out) == (0, "b.pkl.gz\n")
    assert "loud\n" in said.err


def test_a_module_that_ends_the_program_is_no_success(cli: Cli, root: Path) -> None:
    (root / "ends_at_import.py").write_text("import sys\nsys.exit(0)\n")
    said = cli("--pickle", "ends_at_import:task", "--output", "b.pkl.gz")
    assert (said.code, said.out) == (1, "")
    assert "ends_at_import cannot be imported: SystemExit: 0" in said.err
    assert "__main__" in said.err


def test_an_unchanged_tree_is_found_without_making_an_archive(
    cli: Cli, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with doubles.store() as store, doubles.endpoint(doubles.Service(store, ours=True)) as url:
        first = cli("--endpoint", url, "--json")
        monkeypatch.setattr("flyte_build.bundler.archive.archive", lambda *_, **__: pytest.fail("it was made"))
        second = cli("--endpoint", url, "--json")
        assert len(store.headers) == 1
    assert first.out == second.out
    assert "already uploaded" in second.err


def test_a_larger_archive_is_allowed_when_asked(cli: Cli, root: Path, tmp_path: Path) -> None:
    (root / "noise.bin").write_bytes(random.Random(1).randbytes(3 << 20))
    refused = cli("--max-size", "2", "--output", tmp_path / "b.tar.gz")
    assert (refused.code, refused.out) == (1, "")
    assert "larger than 2 MiB; the largest are noise.bin (3.0 MiB)" in refused.err
    assert "allow more with --max-size" in refused.err
    assert not (tmp_path / "b.tar.gz").exists()
    assert cli("--max-size", "4", "--output", tmp_path / "b.tar.gz").code == 0


def test_progress_is_drawn_with_its_whole_and_not_too_often(capsys: pytest.CaptureFixture[str]) -> None:
    moved = Moved("uploading", drawn=True)
    moved.total = 2 << 20
    for _ in range(1000):
        moved(1024)
    lines = capsys.readouterr().err.split("\r")[1:]
    assert lines[0] == "uploading 1.0 KiB of 2.0 MiB"
    assert len(lines) < 100, "a piece is not worth a line"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["--all", "--entrypoint", "main.py"], 2, "exclude each other", id="two ways to choose"),
        pytest.param(["--entrypoint", "main.py", "--root", "lib"], 2, "finds the roots by itself", id="roots of both"),
        pytest.param(["--entrypoint", "no.py", "--dry-run"], 1, "is not a file in", id="no entry point"),
        pytest.param(["--pickle", "x:y", "--dry-run"], 2, "--pickle has no --dry-run", id="a pickle that is not made"),
        pytest.param(["--pickle", "x:y", "--explain", "main.py"], 2, "--pickle has no --explain", id="why of a pickle"),
        pytest.param(["--pickle", "x:y", "--include", "*"], 2, "one object and no files", id="files of a pickle"),
        pytest.param(["--pickle", "json:nothing", "--output", "x"], 1, "has no 'nothing'", id="no such object"),
        pytest.param(["--store", "s3://bucket"], 1, "is not a place for bundles", id="a store that is none"),
    ],
)
def test_what_cannot_be_chosen_is_one_sentence(
    cli: Cli, root: Path, arguments: list[str], code: int, says: str
) -> None:
    said = cli(*arguments)
    assert (said.code, said.out) == (code, "")
    assert says in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["--store", "s3://bucket"], "is not a place for bundles", id="a store"),
        pytest.param(["--endpoint", "ftp://x"], "is not an endpoint", id="an endpoint"),
    ],
)
def test_a_place_that_is_none_is_said_before_anything_is_read(
    cli: Cli, root: Path, arguments: list[str], says: str
) -> None:
    (root / ".env").touch()
    assert says in cli(*arguments).err


def test_one_file_is_one_file(cli: Cli, tmp_path: Path) -> None:
    assert "  1 file, sha256:" in cli(trees.make(tmp_path / "one", {"a.py": ""}), "--dry-run").out


def test_the_endpoint_of_flytes_own_configuration_may_speak_plain_http(cli: Cli, root: Path) -> None:
    with doubles.store() as store, doubles.endpoint(doubles.Service(store, ours=True)) as url:
        host = url.removeprefix("http://")
        config = f"admin:\n  endpoint: dns:///{host}\n  insecure: true\ntask:\n  project: p\n  domain: d\n"
        trees.make(Path.home(), {".flyte/config.yaml": config})
        assert cli().out.startswith("s3://bucket/p/d/")


def test_insecure_is_said_of_one_endpoint_and_not_of_another(
    cli: Cli, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees.make(Path.home(), {".flyte/config.yaml": "admin:\n  endpoint: localhost:1\n  insecure: true\n"})
    # Nobody answers there, and that need not be tried four times.
    monkeypatch.setattr(wire, "Patience", lambda: Patience(retries=0))
    for arguments, elsewhere in ((["--endpoint", "127.0.0.1:1"], ""), ([], "127.0.0.1:1")):
        monkeypatch.setenv("FLYTE_BUILD_ENDPOINT", elsewhere)
        assert "https://127.0.0.1:1" in cli(*arguments).err
