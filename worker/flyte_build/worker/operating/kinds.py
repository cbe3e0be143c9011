"""Kinds of steps: few words for the titles of all steps, which hold what users wrote. Pure."""

from __future__ import annotations

# How the builder's titles (`builder/dockerfile.py`, `steps*.py`) and BuildKit's own begin; the first that fits counts.
_BEGINNINGS = (
    ("base image", "base"),
    ("image ", "base"),
    ("pip packages", "pip"),
    ("requirements", "pip"),
    ("wheel", "pip"),
    ("locked packages", "project"),
    ("projects", "project"),
    ("uv project", "project"),
    ("poetry project", "project"),
    ("pixi", "pixi"),
    ("environment of pixi", "pixi"),
    ("apt packages", "apt"),
    ("command", "command"),
    ("copy to", "copy"),
    ("python", "python"),
    ("listing what is installed", "survey"),
    ("attaching", "attach"),
    ("signing", "sign"),
    ("exporting", "export"),
    ("pushing", "push"),
    ("[internal]", "internal"),
    ("[recipe", "internal"),
    ("[context", "internal"),
)
OTHER = "other"
KINDS = (*dict.fromkeys(kind for _, kind in _BEGINNINGS), OTHER)


def kind_of(title: str) -> str:
    """The kind of a step, one of `KINDS`."""
    return next((kind for beginning, kind in _BEGINNINGS if title.startswith(beginning)), OTHER)
