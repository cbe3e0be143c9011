"""One encoding that feeds every digest: canonical JSON of typed, keyed values.

Values are frozen dataclasses with a `kind`, tuples, strings, integers, booleans, None, and the names of
`registry` in their parsed form. Two different values never encode to the same bytes: every container is
delimited and keyed by JSON itself (RFC 8259), keys are sorted, and no two strings are ever joined.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any

from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.names import Digest

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]


def to_json(value: object) -> Json:
    """The JSON form of a value of a plan; TypeError for a type that has no place in one (a float, a set)."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, (Digest, Platform)):
        return str(value)
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _keyed(value)
    raise TypeError(f"{type(value).__name__} has no canonical encoding")


# Fields of every type that was seen: `fields` is slow, and plans have many files.
_NAMES: dict[type, tuple[str, ...]] = {}


def _keyed(value: Any) -> dict[str, Json]:  # noqa: ANN401 - any dataclass
    type_ = type(value)
    names = _NAMES.get(type_)
    if names is None:
        names = _NAMES[type_] = tuple(field.name for field in fields(value))
    encoded = {name: to_json(getattr(value, name)) for name in names}
    kind = getattr(value, "kind", None)
    if kind is not None:
        encoded["kind"] = kind
    return encoded


def encode(value: object) -> bytes:
    """Canonical JSON, UTF-8: sorted keys, no spaces. Raises InvalidInput for text that is not Unicode."""
    text = json.dumps(to_json(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        bad = text[max(0, error.start - 20) : error.start + 5]
        raise InvalidInput(f"a name or text is not valid UTF-8 near {bad!r}", hint="rename the file") from error


@lru_cache(maxsize=32)
def digest_of(value: Hashable) -> Digest:
    """sha256 of the canonical encoding. Remembered: a plan is asked for its name often, and may have many files."""
    return Digest("sha256", hashlib.sha256(encode(value)).hexdigest())
