"""A command with a terminal in place of files, and what a person sees there."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(*argv: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> list[str]:
    """Every line that was drawn while the command ran, without colours; it must end well."""
    ours, theirs = pty.openpty()
    command = [str(word) for word in argv]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "200"} | dict(env or {})
    with subprocess.Popen(command, cwd=cwd, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        # Linux ends a terminal that nobody writes to any more with an error.
        with suppress(OSError):
            while chunk := os.read(ours, 1 << 16):
                shown += chunk
        os.close(ours)
        code = process.wait(timeout=60)
    text = _ESCAPES.sub("", shown.decode(errors="replace"))
    assert code == 0, text
    return [line for line in re.split(r"[\r\n]+", text) if line.strip()]
