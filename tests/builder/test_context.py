"""Laying files out: the one form in which they enter images, proved to be what was resolved."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.builder.doubles import image, resolved, write

from flyte_build.builder.context import lay_out
from flyte_build.builder.plan import plan, tree_folder
from flyte_build.builder.recipe import EPOCH
from flyte_build.builder.resolve import ResolvedSpec
from flyte_build.registry.errors import InvalidInput


def laid(found: ResolvedSpec, folder: Path) -> Path:
    """The folder of the one tree of `found`, laid out below `folder`."""
    made = plan(found)
    lay_out(made, found.context, folder)
    (tree,) = made.trees()
    return folder / tree_folder(tree)


def test_modes_and_timestamps_are_ours_whatever_they_were(tmp_path: Path) -> None:
    write(tmp_path, {"src/a": "1", "src/run": "2", "src/deep/b": "3", "src/empty/": "", "src/to": "-> deep"})
    (tmp_path / "src/run").chmod(0o4711)
    (tmp_path / "src/a").chmod(0o666)
    (tmp_path / "src/deep").chmod(0o700)
    before = os.umask(0o077)
    try:
        root = laid(resolved(image().with_copy("src", contents=True), tmp_path), tmp_path / "out")
    finally:
        os.umask(before)
    found = {str(path.relative_to(root)): path.lstat() for path in [*root.rglob("*"), root]}
    modes = {name: stat.S_IMODE(status.st_mode) for name, status in found.items() if name != "to"}
    assert modes == {".": 0o755, "a": 0o644, "run": 0o755, "deep": 0o755, "deep/b": 0o644, "empty": 0o755}
    assert {status.st_mtime for status in found.values()} == {EPOCH}
    assert str((root / "to").readlink()) == "deep"
    assert stat.S_IMODE((tmp_path / "src/deep").stat().st_mode) == 0o700


def become_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "was edited": (lambda file: file.write_text("2"), "changed while the build was prepared"),
    "was removed": (lambda file: file.unlink(), "disappeared while the build was prepared"),
    "became a folder": (become_a_folder, "cannot be copied for the build: Is a directory"),
}


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES.keys())
def test_a_file_stops_the_build_that(tmp_path: Path, change: Callable[[Path], object], said: str) -> None:
    write(tmp_path, {"a": "1"})
    found = resolved(image().with_copy("a"), tmp_path)
    change(tmp_path / "a")
    with pytest.raises(InvalidInput) as caught:
        laid(found, tmp_path / "out")
    assert caught.value.sentence == f"{tmp_path / 'a'} {said}"


def test_the_same_tree_is_laid_out_once_and_named_by_its_content(tmp_path: Path) -> None:
    write(tmp_path, {"one/a": "1", "two/a": "1"})
    spec = image().with_copy("one", to="/x", contents=True).with_copy("two", to="/y", contents=True)
    found = resolved(spec, tmp_path)
    lay_out(plan(found), found.context, tmp_path / "out")
    (folder,) = (tmp_path / "out/trees").iterdir()
    assert (folder / "a").read_text(encoding="utf-8") == "1"
