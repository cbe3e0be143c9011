"""Documents in JSON: written so that equal ones are equal bytes, read as if anybody may have written them. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

Json = dict[str, object]


def format_json(document: Mapping[str, object]) -> bytes:
    """Its bytes: equal documents give equal ones."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def table(value: object) -> Json:
    """A table, or an empty one."""
    return value if isinstance(value, dict) else {}


def tables(value: object) -> list[Json]:
    """The tables of a list, or none."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
