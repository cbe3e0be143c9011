"""What an image copies although it looks like a secret, by the names that a bundle refuses."""

from __future__ import annotations

from flyte_build.builder.plan import BuildPlan, DockerfilePlan
from flyte_build.bundler.junk import secret_by_name
from flyte_build.registry.redact import plain

_MOST = 5


def likely_secrets(plan: BuildPlan) -> tuple[str, ...]:
    """A sentence that names such files and what to do, or none. Nothing is refused, and no file is read."""
    paths = dict.fromkeys(file.path for tree in plan.trees() for file in tree.files)
    found = [f"{plain(path)} ({kind})" for path in paths if (kind := secret_by_name(path))]
    if not found:
        return ()
    more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
    how = ".dockerignore" if isinstance(plan, DockerfilePlan) else "`ignore` of the layer, or by `dockerignore`"
    what = f"it copies what looks like a secret, for all who may pull it: {', '.join(found[:_MOST])}{more}"
    return (f"{what}; leave it out by {how}, and give a step what it needs by --secret",)
