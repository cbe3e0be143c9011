"""Times as registries and images write them. Pure."""

from __future__ import annotations

import re
from datetime import datetime


def parse_moment(text: str) -> datetime | None:
    """RFC 3339, with any number of digits after the second; None for anything else."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)", text.strip(), re.IGNORECASE)
    if match is None:
        return None
    offset = "+00:00" if match[2] in "Zz" else match[2]
    try:
        return datetime.fromisoformat(f"{match[1]}{offset}")
    except ValueError:
        return None
