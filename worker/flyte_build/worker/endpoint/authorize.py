"""Which projects a request is about, and whether its caller may: one rule for all methods, not one in each.

Every identifier at the top of a request counts. A request that names no project is refused, unless its method is one
of the few that are about none; a new method is therefore closed until somebody thinks about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from flyte_build.registry.errors import ServiceDenied
from flyte_build.worker.builds.task import DOMAIN, PROJECT
from flyte_build.worker.endpoint.callers import caller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from google.protobuf.message import Message

    from flyte_build.worker.endpoint.failures import Context

_Q = TypeVar("_Q", bound="Message")
_A = TypeVar("_A")
Scope = tuple[str, str]
# Where the build task is, which everybody may find and run (in a project of their own), and nobody may change.
EVERYBODYS: Scope = (PROJECT, DOMAIN)
_PUBLIC = {
    ("ListTasks", "ProjectIdentifier"),
    ("ListVersions", "TaskName"),
    ("GetTaskDetails", "TaskIdentifier"),
    ("UploadInputs", "TaskIdentifier"),
    ("CreateRun", "TaskIdentifier"),
}
# Methods whose answer is the same for everybody: which cluster, how to log in, and nested actions, which are refused.
_PROJECTLESS = ("SelectCluster", "GetOAuth2Metadata", "GetPublicClientConfig", "Enqueue")


class Authorizing:
    """An interceptor of connectrpc: PERMISSION_DENIED (ServiceDenied) before a method of another's project is run."""

    async def intercept_unary(self, call_next: Callable[[_Q, Context], Awaitable[_A]], request: _Q, ctx: Context) -> _A:
        """As the class says."""
        check(request, ctx.method().name)
        return await call_next(request, ctx)

    async def intercept_server_stream(
        self, call_next: Callable[[_Q, Context], AsyncIterator[_A]], request: _Q, ctx: Context
    ) -> AsyncIterator[_A]:
        """As the class says."""
        check(request, ctx.method().name)
        async for message in call_next(request, ctx):
            yield message


def check(request: Message, method: str) -> None:
    """ServiceDenied unless the caller may use every project that the request names."""
    if method in _PROJECTLESS:
        return
    named = tuple(scopes(request))
    asking = caller()
    for kind, (project, domain) in named:
        public = (method, kind) in _PUBLIC and (project, domain) == EVERYBODYS
        if not public and not asking.may(project, domain):
            raise ServiceDenied(f"{asking.who} may not use the project {project[:80]}/{domain[:80]}")
    if not named and not asking.may("*", "*"):
        raise ServiceDenied(f"{method} has to say which project it is about")


def scopes(request: Message) -> Iterator[tuple[str, Scope]]:
    """The projects and domains that the request names at its top, each with the kind of identifier that does."""
    for field, value in request.ListFields():
        convert = _IDENTIFIERS.get(field.message_type.full_name) if field.message_type is not None else None
        if convert is not None:
            yield field.message_type.name, convert(value)
        elif field.name == "project" and isinstance(value, str):
            yield "", (value, getattr(request, "domain", ""))


def _named(value: Any) -> Scope:  # noqa: ANN401 - identifiers have no common type
    return value.project, value.domain


_IDENTIFIERS: dict[str, Callable[[Any], Scope]] = {
    "flyteidl2.common.ProjectIdentifier": lambda value: (value.name, value.domain),
    "flyteidl2.common.RunIdentifier": _named,
    "flyteidl2.common.ActionIdentifier": lambda value: _named(value.run),
    "flyteidl2.common.ActionAttemptIdentifier": lambda value: _named(value.action_id.run),
    "flyteidl2.common.TriggerName": _named,
    "flyteidl2.task.TaskIdentifier": _named,
    "flyteidl2.task.TaskName": _named,
}
