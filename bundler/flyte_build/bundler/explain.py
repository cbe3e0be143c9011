"""Why one path is in a bundle or not (`--explain`): what the walk would do, asked of that path alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from flyte_build.bundler.folders import enter, names_in
from flyte_build.bundler.hashing import head_of
from flyte_build.bundler.ignore import KEPT, By, Verdict
from flyte_build.bundler.includes import Includes
from flyte_build.bundler.junk import secret_by_content, secret_by_name
from flyte_build.bundler.refusals import LEAVE_OUT
from flyte_build.bundler.tree import SourceTree
from flyte_build.bundler.walk import Folder, kind_of, link_fault_of, start
from flyte_build.registry.errors import InvalidTree

_NO_BUNDLE = "and no bundle is made until it is left out"


def explain(tree: SourceTree, path: str) -> Verdict:
    """Why `path` (relative to the root, or to a folder laid over it) is in or out, or would be refused.

    Where several folders have it, a refusal counts first, then one that is in. Raises InvalidTree when none has it.
    """
    found = []
    for folder in tree.folders:
        name = _name_in(folder.root, path)
        verdict = _explain(folder, name) if name is not None else None
        if verdict and folder.root != tree.root:
            verdict = Verdict(kept=verdict.kept, by=verdict.by, why=f"from {folder.root}: {verdict.why}")
        if verdict:
            found.append(verdict)
    if not found:
        where = ", ".join(str(folder.root) for folder in tree.folders)
        raise InvalidTree(f"{path} is not in {where}", hint="give a path relative to the folder")
    return min(found, key=lambda verdict: 0 if verdict.by is By.REFUSED else 1 if verdict.kept else 2)


def _name_in(root: Path, path: str) -> str | None:
    """`path` as a name relative to `root`, which may be given as a whole path too; None outside."""
    whole = Path(os.path.normpath(root.absolute() / path))
    for top in (root.absolute(), root.resolve()):
        if whole.is_relative_to(top):
            return whole.relative_to(top).as_posix()
    return None


def _explain(folder: Folder, name: str) -> Verdict | None:
    """The verdict about `name` in one folder; None when it is not there."""
    try:
        mode = (folder.root / name).lstat().st_mode
    except OSError as error:
        if isinstance(error, PermissionError):
            raise InvalidTree(f"{name} cannot be read: {error.strerror}", hint=LEAVE_OUT) from error
        return None
    verdict = _judge(folder, name)
    if not verdict.kept or stat.S_ISDIR(mode):
        return verdict
    if stat.S_ISLNK(mode):
        fault = link_fault_of(folder.root.resolve(), name)
        return Verdict(kept=False, by=By.REFUSED, why=f"it {fault}, {_NO_BUNDLE}") if fault else verdict
    if not stat.S_ISREG(mode):
        return Verdict(kept=False, by=By.KIND, why=f"it is a {kind_of(mode)}, which has no content to carry")
    return verdict if Includes(globs=folder.include).name_exactly(name) else _suspect(folder, name) or verdict


def _suspect(folder: Folder, name: str) -> Verdict | None:
    what = secret_by_name(name) or secret_by_content(head_of(f"{folder.root}/", name))
    why = f"it looks like a secret ({what}), {_NO_BUNDLE} or named with --include"
    return Verdict(kept=False, by=By.REFUSED, why=why) if what else None


def _judge(folder: Folder, name: str) -> Verdict:
    """What the rules say about `name`, from the root down."""
    found = start(folder)
    parts = name.split("/")
    verdict, level = KEPT, enter(found.root, "", found.outer, names_in(found.root, ""))
    for depth in range(1, len(parts) + 1):
        inner = "/".join(parts[:depth])
        is_folder = stat.S_ISDIR((found.root / inner).lstat().st_mode)
        verdict = found.rules.judge(inner, level, verdict, folder=is_folder)
        if is_folder:
            level = enter(found.root, inner, level, names_in(found.root, inner))
    return verdict
