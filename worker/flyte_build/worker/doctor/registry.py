"""What `doctor` says of a registry: who we are to it, where that is from, and whether we may push."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flyte_build.registry.errors import FlyteBuildError, RegistryDenied, RegistryMissing
from flyte_build.registry.identity import Looked, Remembered
from flyte_build.registry.names import Registry, Repository
from flyte_build.worker.doctor.finding import Finding, failed, tried

if TYPE_CHECKING:
    from flyte_build.worker.cli.login import Login


def repository_of(text: str) -> Repository:
    return Repository.parse(text if "/" in text else f"{Registry.parse(text)}/flyte-build-doctor")


def registry_findings(text: str, login: Login) -> Iterator[Finding]:
    try:
        repository = repository_of(text)
    except FlyteBuildError as error:
        yield failed("registry", error)
        return
    # Asked once: a helper that hangs hangs for half a minute.
    looked = tuple(login.source(repository.registry).look(repository.registry))
    yield from _credentials(repository.registry, looked)
    yield from tried("registry", lambda: _push_check(repository, looked, is_host_only="/" not in text))


def _credentials(registry: Registry, places: tuple[Looked, ...]) -> Iterator[Finding]:
    """Where credentials for this registry are looked for, in that order: what was found, never its value."""
    used = False
    for looked in places:
        found = f"{looked}"
        if looked.found and not used:
            found, used = f"{found}: this one is used", True
        hint = looked.failed.hint if looked.failed else ""
        yield Finding(part="identity", fine=not looked.failed, needed=False, found=found, what_to_do=hint)
    failed = any(looked.failed for looked in places)
    if not used:
        found = f"{registry} is spoken to as anonymous{', and not pushed to' if failed else ''}"
        yield Finding(part="identity", fine=not failed, needed=False, found=found)


def _push_check(repository: Repository, looked: tuple[Looked, ...], *, is_host_only: bool) -> Finding:
    from flyte_build.registry.client import RegistryClient

    credentials = Remembered(looked)
    # A build looks before it is asked: what it stumbles over is in the way also where anybody may push.
    credentials.for_registry(repository.registry)
    try:
        RegistryClient(credentials).push_check(repository)
    except (RegistryDenied, RegistryMissing) as error:
        if not is_host_only:
            raise
        # Many registries let nobody push to a name that we made up.
        better = f"ask about the place that you push to: --registry {repository.registry}/TEAM/NAME"
        hint = f"{error.hint}; or {better}" if error.hint else better
        return Finding(part="registry", fine=False, found=error.sentence, what_to_do=hint)
    return Finding(part="registry", fine=True, found=f"{repository} can be pushed to")
