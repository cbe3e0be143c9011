"""The state folder of a process of the service, wherever its user put it: perhaps beside source that is copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyte_build.builder.folders import STATE_MARK

if TYPE_CHECKING:
    from pathlib import Path


def mark(state: Path) -> None:
    """Says in the folder that nothing of it belongs into a commit, a bundle or an image; OSError when it cannot.

    It holds uploads of other projects and the secret that signed URLs are made with.
    """
    for name, content in ((".gitignore", "*\n"), (STATE_MARK, "")):
        file = state / name
        if not file.exists():
            file.write_text(content, encoding="ascii")
