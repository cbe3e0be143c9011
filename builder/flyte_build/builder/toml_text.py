"""Decoded TOML -> TOML, sorted: equal documents are equal text. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, time


def toml_text(document: Mapping[str, object]) -> str:
    """A document of inline tables, keys sorted, empty tables left out at the top."""
    return "".join(f"{_key(key)} = {toml_value(value)}\n" for key, value in sorted(document.items()) if value != {})


def _key(key: str) -> str:
    return _text(key)


def _text(text: str) -> str:
    """JSON's escapes are a subset of those of TOML's basic strings, save for DEL (TOML 1.0, "String")."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_value(value: object) -> str:
    """A value on one line; tables are inline."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(str(key))} = {toml_value(one)}" for key, one in sorted(value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return str(value)
