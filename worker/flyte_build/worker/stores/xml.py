"""Listings of object stores, which are XML. Pure; entities and depth are the parser's own limits, size the caller's."""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime
from xml.etree import ElementTree as ET

from flyte_build.registry.errors import ServiceError


def parse(body: bytes, store: str) -> ET.Element:
    """The document's root, names without their namespaces. Raises ServiceError for anything else than a listing."""
    # No store declares entities; one that does wants our memory.
    if b"<!" in body:
        raise ServiceError(f"the store {store} answered with something else than a listing")
    try:
        root = ET.fromstring(body)  # noqa: S314 - without declarations there is nothing to expand
    except ET.ParseError as error:
        raise ServiceError(f"the store {store} answered with something else than a listing") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def text(element: ET.Element, path: str) -> str:
    """The text at `path`, or nothing."""
    return element.findtext(path) or ""


def seconds(moment: str) -> float:
    """Seconds since 1970 of a time as stores write it (RFC 3339, or RFC 1123); 0 for what is neither."""
    try:
        return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(moment).timestamp()
    except (TypeError, ValueError):
        return 0.0
