"""Rules of a service that knows one static token, and lets it build one project."""

from __future__ import annotations

_RULES = """
[[token]]
name = "people"
sha256 = "{digest}"
projects = ["{project}"]

[[project]]
name = "{project}"
registries = ["{registry}"]
bases = ["{bases}"]
{more}
"""


def rules_of(digest: str, registry: str, bases: str, *, project: str = "flytesnacks", more: str = "") -> str:
    """The file: `digest` is the token's (`flyte-build token`), `more` are lines of the project's table."""
    return _RULES.format(digest=digest, registry=registry, bases=bases, project=project, more=more)
