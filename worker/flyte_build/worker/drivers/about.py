"""Facts about an image that are no part of it: annotations of the plan attached to it (OCI image-spec, annotations.md).

In the image's own manifest they would change its digest: the same image built from a mirror of its base, under another
name, or from the next commit would be another one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from flyte_build.registry.redact import bare_url

if TYPE_CHECKING:
    from flyte_build.worker.drivers.image import Planned

_OCI = "org.opencontainers.image"


def about(planned: Planned, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Its title, the base's name and digest, and in a CI job (GitHub, GitLab) the source and its revision."""
    environment = os.environ if environment is None else environment
    base = planned.resolved.base
    facts = {
        "title": planned.spec.name,
        "base.name": planned.spec.base_name if planned.spec.dockerfile is None else "",
        "base.digest": str(base.digest),
        "source": _source(environment),
        "revision": environment.get("GITHUB_SHA") or environment.get("CI_COMMIT_SHA") or "",
    }
    return {f"{_OCI}.{name}": value for name, value in facts.items() if value}


def _source(environment: Mapping[str, str]) -> str:
    server, repository = environment.get("GITHUB_SERVER_URL"), environment.get("GITHUB_REPOSITORY")
    if server and repository:
        return bare_url(f"{server}/{repository}")
    return bare_url(environment.get("CI_PROJECT_URL", ""))
