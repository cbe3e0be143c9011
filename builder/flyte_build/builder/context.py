"""The files a build needs, named by digest, and where the base lies.

`Context` is what a plan leaves out on purpose: places. `lay_out` writes the trees of a plan into a folder in the
one form that enters images: modes 0644 and 0755, one timestamp, content checked against the plan while it is
copied, so that a file edited during the build is an error and not a surprise.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flyte_build.builder.plan import BuildPlan, FileTree, PlanFile, tree_folder
from flyte_build.builder.recipe import EPOCH
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.names import Digest, ImageReference

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """`base`: where the plan's base is pulled from. `files`: a local file for every sha256 (hex) of the plan.

    `images`: where every other image lies that the plan names by digest.
    """

    base: ImageReference
    files: Mapping[str, Path]
    images: Mapping[Digest, ImageReference] = field(default_factory=dict)


def lay_out(plan: BuildPlan, context: Context, folder: Path) -> None:
    """Write every tree of `plan` below `folder` (created).

    Raises InvalidInput naming the file when one changed since it was resolved or cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for tree in {tree.digest: tree for tree in plan.trees()}.values():
        lay_tree(tree, context.files, folder / tree_folder(tree))
    for parent, folders, _ in os.walk(folder, topdown=False):
        for name in folders:
            if not (Path(parent) / name).is_symlink():
                _stamp(Path(parent) / name, 0o755)
    _stamp(folder, 0o755)


def lay_tree(tree: FileTree, sources: Mapping[str, Path], root: Path) -> None:
    """Write one tree below `root` (created), raising as `lay_out`; the timestamps of folders are not set."""
    root.mkdir(parents=True, exist_ok=True)
    for name in tree.folders:
        (root / name).mkdir(parents=True, exist_ok=True)
    for file in tree.files:
        path = root / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.link is not None:
            path.symlink_to(file.link)
            os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
        else:
            _copy_checked(file, sources[file.sha256], path)


def _copy_checked(file: PlanFile, source: Path, path: Path) -> None:
    hasher = hashlib.sha256()
    try:
        with source.open("rb") as reader, path.open("wb") as writer:
            while chunk := reader.read(_CHUNK):
                hasher.update(chunk)
                writer.write(chunk)
    except FileNotFoundError as error:
        raise InvalidInput(
            f"{source} disappeared while the build was prepared", hint="run the command again"
        ) from error
    except OSError as error:
        raise InvalidInput(
            f"{source} cannot be copied for the build: {error.strerror}",
            hint="it must be readable, and the cache folder (FLYTE_BUILD_CACHE) have room for it",
        ) from error
    if hasher.hexdigest() != file.sha256:
        raise InvalidInput(f"{source} changed while the build was prepared", hint="run the command again")
    _stamp(path, 0o755 if file.executable else 0o644)


def _stamp(path: Path, mode: int) -> None:
    path.chmod(mode)
    os.utime(path, (EPOCH, EPOCH))
