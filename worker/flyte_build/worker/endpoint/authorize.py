"""Which projects a request is about, and whether its caller may: one rule for all methods, not one in each.

Every identifier at the top of a request counts. A request that names no project is refused, unless its method is one
of the few that are about none; a new method is therefore closed until somebody thinks about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from flyteidl2.common import identifier_pb2
from flyteidl2.task import task_definition_pb2

from flyte_build.registry.errors import ServiceDenied
from flyte_build.worker.builds.task import DOMAIN, PROJECT, is_build_task
from flyte_build.worker.endpoint.callers import caller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from google.protobuf.message import Message

    from flyte_build.worker.endpoint.failures import Context

_Q = TypeVar("_Q", bound="Message")
_A = TypeVar("_A")
Scope = tuple[str, str]
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
    named = tuple(scopes(request, method))
    asking = caller()
    for project, domain in named:
        if not asking.may(project, domain):
            raise ServiceDenied(f"{asking.who} may not use the project {project[:80]}/{domain[:80]}")
    if not named and not asking.may("*", "*"):
        raise ServiceDenied(f"{method} has to say which project it is about")


def scopes(request: Message, method: str) -> Iterator[Scope]:
    """The projects and domains that the request names at its top. The build task belongs to everybody."""
    for field, value in request.ListFields():
        convert = _IDENTIFIERS.get(field.message_type.full_name) if field.message_type is not None else None
        if convert is not None:
            found = convert(value)
            if found is not None and not (method == "ListTasks" and found == (PROJECT, DOMAIN)):
                yield found
        elif field.name == "project" and isinstance(value, str):
            yield value, getattr(request, "domain", "")


def _run(value: identifier_pb2.RunIdentifier) -> Scope:
    return value.project, value.domain


def _task(value: task_definition_pb2.TaskIdentifier) -> Scope | None:
    return None if is_build_task(value.project, value.domain, value.name) else (value.project, value.domain)


_IDENTIFIERS: dict[str, Callable[[Message], Scope | None]] = {
    "flyteidl2.common.ProjectIdentifier": lambda value: (value.name, value.domain),
    "flyteidl2.common.RunIdentifier": _run,
    "flyteidl2.common.ActionIdentifier": lambda value: _run(value.run),
    "flyteidl2.common.ActionAttemptIdentifier": lambda value: _run(value.action_id.run),
    "flyteidl2.task.TaskIdentifier": _task,
    "flyteidl2.task.TaskName": _task,
    "flyteidl2.common.TriggerName": lambda value: (value.project, value.domain),
}
