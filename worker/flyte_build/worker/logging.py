"""What a process of the service says of itself, on stderr."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from flyte_build.worker.operating.log_lines import formatter

if TYPE_CHECKING:
    from flyte_build.worker.operating.log_lines import Format


def prepare_log(kind: Format = "text") -> None:
    """Lines of ours to stderr, for people or as JSON; libraries only when something is wrong."""
    ours = logging.getLogger("flyte_build")
    if not ours.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(formatter(kind))
        ours.addHandler(handler)
        ours.propagate = False
    ours.setLevel(logging.INFO)
    for name in ("celery", "kombu", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)
