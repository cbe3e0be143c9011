"""The sentence for a cloud's package that is not installed."""

from __future__ import annotations

from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.names import Registry


def missing(registry: Registry, package: str, extra: str) -> InvalidInput:
    """Who we are to `registry` can only be found out with `package`."""
    return InvalidInput(
        f"the identity of this machine for {registry} needs {package}, which is not installed",
        hint=f"pip install 'flyte-build[{extra}]', or log in with `docker login {registry}`",
    )
