"""The state folder of a service may lie beside the source that its user builds from: nothing of it goes along."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from flyte_build.builder.files import FileSet
from flyte_build.builder.folders import read
from flyte_build.worker.cli.bundle import bundle
from flyte_build.worker.endpoint.place import locked


def used(folder: Path) -> Path:
    """Source, and the state of a service that ran there."""
    (folder / "train.py").write_text("print(1)")
    with locked(folder / "state"):
        (folder / "state" / "store").mkdir()
        (folder / "state" / "store" / "secret").write_bytes(b"what URLs are signed with")
    return folder


def test_an_image_gets_none_of_it(tmp_path: Path) -> None:
    tree = read(used(tmp_path), FileSet())
    assert ([file.path for file in tree.files], tree.folders) == (["train.py"], ())


def test_a_bundle_gets_none_of_it(tmp_path: Path) -> None:
    done = CliRunner().invoke(bundle, [str(used(tmp_path)), "--dry-run"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "train.py" in done.output
    assert "secret" not in done.output


def test_what_a_user_wrote_into_the_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / ".gitignore").write_text("mine")
    used(tmp_path)
    assert (tmp_path / "state" / ".gitignore").read_text() == "mine"
