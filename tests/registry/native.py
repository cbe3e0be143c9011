"""The referrers API of OCI's distribution-spec 1.1, for a proxy before a registry that does not have it.

No registry that is packaged for Debian has this API, so this is a double of that part only: manifests with a subject
are stored by the real registry behind, remembered here, listed page by page, and named in `OCI-Subject`.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from flyte_build.registry.verify import digest_of

_LIST = re.compile(r"/v2/(.+)/referrers/(sha256:[0-9a-f]{64})")
_PUT = re.compile(r"/v2/(.+)/manifests/[^/]+")
_INDEX = "application/vnd.oci.image.index.v1+json"
Headers = list[tuple[str, str]]


@dataclass
class NativeReferrers:
    """`size` entries on a page. `filters` says whether `artifactType` in a query is honoured: it need not be."""

    size: int = 100
    filters: bool = True
    known: dict[tuple[str, str], list[dict[str, object]]] = field(default_factory=lambda: defaultdict(list))

    def stored(self, path: str, media_type: str, body: bytes) -> Headers:
        """The header for a manifest that was just put there."""
        where = _PUT.fullmatch(urlsplit(path).path)
        manifest = json.loads(body) if where else {}
        if where is None or "subject" not in manifest:
            return []
        subject = manifest["subject"]["digest"]
        entry = {
            "mediaType": media_type,
            "digest": str(digest_of(body)),
            "size": len(body),
            "artifactType": manifest.get("artifactType") or manifest["config"]["mediaType"],
            "annotations": manifest.get("annotations", {}),
        }
        entries = self.known[where[1], subject]
        if entry not in entries:
            entries.append(entry)
        return [("oci-subject", subject)]

    def page(self, path: str) -> tuple[Headers, bytes] | None:
        """Headers and body of the answer; None for what is no request for referrers."""
        parts = urlsplit(path)
        where = _LIST.fullmatch(parts.path)
        if where is None:
            return None
        query = parse_qs(parts.query)
        entries = self.known[where[1], where[2]]
        headers = [("content-type", _INDEX)]
        if self.filters and (kinds := query.get("artifactType")):
            entries = [entry for entry in entries if entry["artifactType"] in kinds]
            headers.append(("oci-filters-applied", "artifactType"))
        start = int(query.get("from", ["0"])[0])
        if start + self.size < len(entries):
            headers.append(("link", f'<{parts.path}?from={start + self.size}>; rel="next"'))
        listed = entries[start : start + self.size]
        return headers, json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": listed}).encode()
