"""`Link: <…>; rel="next"` (RFC 8288), as far as registries use it to split long lists."""

from __future__ import annotations

import re

_LINK = re.compile(r"<([^>]*)>([^<]*)")
_NEXT = re.compile(r';\s*rel\s*=\s*"?(?:[^"]*\s)?next(?:\s[^"]*)?"?\s*(?:[;,]|$)', re.IGNORECASE)


def next_page(header: str) -> str:
    """The URL reference of the next page as it was written, or an empty string."""
    return next((url for url, parameters in _LINK.findall(header) if _NEXT.search(parameters)), "")
