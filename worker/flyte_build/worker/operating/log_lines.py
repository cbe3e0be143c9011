"""Lines of a service's own log, for people or (`json`) for machines: one document a line.

`{"at": "2026-11-21T14:48:53.742Z", "level": "info", "logger": …, "message": …, "build": "<id>", "run": "p/d/r/a0"}`
"""

from __future__ import annotations

import json
import logging
import re
from datetime import datetime, timezone
from typing import Literal

Format = Literal["text", "json"]
# Every message of ours that is about a build or a run says so in these words.
_BUILD = re.compile(r"\bbuild ([0-9a-f]{32})\b")
_RUN = re.compile(r"\brun ([\w.-]+/[\w.-]+/[\w.-]+/[\w-]+)")


class JsonLines(logging.Formatter):
    """A formatter: JSON, with the ids of the build and the run that the message is about."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        message = record.getMessage()
        document = {
            "at": datetime.fromtimestamp(record.created, tz=timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
        }
        for name, pattern in (("build", _BUILD), ("run", _RUN)):
            if found := pattern.search(message):
                document[name] = found[1]
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=False)


def formatter(kind: Format) -> logging.Formatter:
    """How lines are written."""
    return JsonLines() if kind == "json" else logging.Formatter("%(asctime)s %(levelname)s %(message)s")
