"""What a process of the service says of itself, on stderr."""

from __future__ import annotations

import logging
import sys


def prepare_log() -> None:
    """Lines of ours to stderr; libraries only when something is wrong."""
    ours = logging.getLogger("flyte_build")
    if not ours.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        ours.addHandler(handler)
        ours.propagate = False
    ours.setLevel(logging.INFO)
    for name in ("celery", "kombu", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)
