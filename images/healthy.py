"""`python healthy.py [STATE]`: whether the endpoint with this state folder, or else the worker, says that it is alive.

For HEALTHCHECK, where there is no curl. Kubernetes asks for itself.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

# Who listens on every address is asked on loopback.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def endpoint(state: Path) -> str:
    """Where the endpoint with this state listens."""
    found = urlsplit(json.loads((state / "endpoint.json").read_text(encoding="utf-8"))["url"])
    host = _EVERYWHERE.get(found.hostname or "", found.netloc.rpartition(":")[0])
    return f"{found.scheme}://{host}:{found.port}"


def worker() -> str:
    """Where a worker of this environment listens."""
    return f"http://127.0.0.1:{os.environ['FLYTE_BUILD_METRICS_PORT']}"


def main(arguments: list[str]) -> int:
    """0 when it answers, else 1 and why."""
    # The certificate names what clients call it, and here it is asked by its address.
    context = ssl._create_unverified_context()
    try:
        url = endpoint(Path(arguments[0])) if arguments else worker()
        with urllib.request.urlopen(f"{url}/healthz", timeout=4, context=context) as answer:
            print(answer.read(200).decode(errors="replace"))
    except (OSError, ValueError, KeyError) as error:
        print(f"nobody answers: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
