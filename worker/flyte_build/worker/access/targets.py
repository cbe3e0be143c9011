"""What the SDK asks for as a target -> the repository that it means, if the project may push there."""

from __future__ import annotations

from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.names import Repository
from flyte_build.worker.access.policy import Policy


def repository_of(target: str, policy: Policy) -> Repository:
    """The repository of `<name>:<tag>` (in the project's own place) or `<registry>/<name>:<tag>`.

    The tag is not ours to trust: the plan has its own. Raises InvalidInput for another form, ServiceDenied.
    """
    name, _, tag = target.rpartition(":")
    if not name or "/" in tag:
        raise InvalidInput(f"{target!r} is not a target", hint="it is <name>:<tag> or <registry>/<name>:<tag>")
    placed = f"{policy.registry}/{name}" if policy.registry else name
    repository = Repository.parse(name if "/" in name else placed)
    policy.check_target(repository)
    return repository
