"""`Link: <…>; rel="next"` (RFC 8288), as far as registries use it to split long lists."""

from __future__ import annotations

import re

# No two parts of it can match the same text: a header is up to 64 KiB of what a hostile registry likes.
_LINK = re.compile(r"<([^<>]*)>([^<]*)")


def next_page(header: str) -> str:
    """The URL reference of the next page as it was written, or an empty string."""
    return next((url for url, parameters in _LINK.findall(header) if _is_next(parameters)), "")


def _is_next(parameters: str) -> bool:
    for parameter in parameters.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "rel":
            return "next" in value.strip(", \t").strip('"').lower().split()
    return False
