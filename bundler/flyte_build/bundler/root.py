"""Which folder can be meant as a project."""

from __future__ import annotations

import os
from pathlib import Path

from flyte_build.registry.errors import InvalidTree

_OF_A_FILE = "give the folder of your project; what one program needs is `--entrypoint FILE`"


def checked_root(folder: Path) -> Path:
    """`folder` without links. Raises InvalidTree for one that is missing, a home folder, above one, or `/`."""
    try:
        root = folder.resolve(strict=True)
        home = Path(os.path.realpath(Path.home()))
    except (OSError, RuntimeError) as error:
        raise InvalidTree(f"{folder} cannot be bundled: there is no such folder") from error
    if not root.is_dir():
        raise InvalidTree(f"{folder} cannot be bundled: it is not a folder", hint=_OF_A_FILE)
    if root == Path(root.anchor) or home.is_relative_to(root):
        what = "the whole file system" if root == Path(root.anchor) else "a home folder"
        raise InvalidTree(f"{folder} is {what}, which is never a project", hint="give the folder of your project")
    return root
