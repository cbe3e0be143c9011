"""Trees of the tests: made from a mapping of path to content, and judged by git itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from hypothesis import strategies as st

from flyte_build.bundler.tree import SourceTree, list_tree


def make(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write `files` below `root`; a content that starts with `->` is a link to the rest of it."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str) and content.startswith("->"):
            path.symlink_to(content[2:])
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def git(root: Path, *arguments: str) -> str:
    """Run git without anybody's configuration."""
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(["git", *arguments], cwd=root, env=env, check=True, capture_output=True, text=True)
    return done.stdout


def git_files(root: Path) -> set[str]:
    """What git would take: tracked, and untracked without the ignored."""
    return set(git(root, "ls-files", "-coz", "--exclude-standard").split("\0")) - {""}


_names = st.sampled_from(["a", "b.py", "c d", "é", "lib", "data", "B.py", "x" * 120])
_contents = st.one_of(st.binary(max_size=200), st.sampled_from([b"", b"\0" * 70_000, b"print()\n" * 9000]))


@st.composite
def trees(draw: st.DrawFn) -> dict[str, tuple[bytes, bool]]:
    """Paths with their content and executable bit; no path lies below another."""
    paths = draw(st.lists(st.lists(_names, min_size=1, max_size=3).map("/".join), min_size=1, max_size=8, unique=True))
    kept = [p for p in paths if not any(q.startswith(f"{p}/") for q in paths)]
    return {path: (draw(_contents), draw(st.booleans())) for path in kept}


def listed(root: Path, *include: str) -> set[str]:
    """The paths that a tree with these includes has."""
    return {entry.path for entry in list_tree(SourceTree(root=root, include=include)).manifest.entries}
