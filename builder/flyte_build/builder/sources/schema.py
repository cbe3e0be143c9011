"""The JSON Schema of `image.toml`, made of what its parser knows: `python -m flyte_build.builder.sources.schema`.

It says all about keys and types (JSON Schema 2020-12). What a value may say, such as a package's name, is not in it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from flyte_build.builder.sources import meanings
from flyte_build.builder.sources.toml import IMAGE_KEYS
from flyte_build.builder.sources.toml_layers import KINDS, Kind, Type

_TEXT: dict[str, Any] = {"type": "string"}
_SECRET = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 1}, "env": _TEXT},
    "required": ["name"],
    "additionalProperties": False,
}
_TYPES: dict[Type, dict[str, Any]] = {
    "text": _TEXT,
    "texts": {"type": "array", "items": _TEXT},
    "flag": {"type": "boolean"},
    "text_table": {"type": "object", "additionalProperties": _TEXT},
    "secrets": {"type": "array", "items": {"anyOf": [_TEXT, _SECRET]}},
    "install": {"enum": ["dependencies", "project"]},
}


def schema() -> dict[str, Any]:
    """The schema of a document: one image, or several under `images`."""
    several = {
        "type": "object",
        "properties": {"images": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/image"}}},
        "required": ["images"],
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "image.toml of flyte-build",
        "if": {"required": ["images"]},
        "then": several,
        "else": {"$ref": "#/$defs/image"},
        "$defs": {"image": _image(), "layer": {"oneOf": [_layer(name, kind) for name, kind in KINDS.items()]}},
    }


def _image() -> dict[str, Any]:
    properties: dict[str, Any] = dict.fromkeys(IMAGE_KEYS, _TEXT)
    properties["name"] = {"type": "string", "minLength": 1}
    properties["platforms"] = {"type": "array", "items": _TEXT}
    properties["layers"] = {"type": "array", "items": {"$ref": "#/$defs/layer"}}
    properties = {key: {**one, "description": meanings.IMAGE[key]} for key, one in properties.items()}
    return {"type": "object", "properties": properties, "required": ["name"], "additionalProperties": False}


def _layer(name: str, kind: Kind) -> dict[str, Any]:
    properties = {key: _TYPES[type_] for key, type_ in kind.keys.items()}
    properties[name] = {**_TEXT, "minLength": 1} if kind.value == "text" else _TYPES[kind.value]
    for key in kind.required:
        if properties[key] == _TEXT:
            properties[key] = {**_TEXT, "minLength": 1}
    said = {**meanings.KEYS, name: meanings.KINDS[name]}
    properties = {key: {**one, "description": said[key]} for key, one in properties.items()}
    return {
        "type": "object",
        "properties": properties,
        "required": sorted({name, *kind.required}),
        "additionalProperties": False,
    }


def schema_text() -> str:
    """The schema as it is published."""
    return json.dumps(schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
