"""What the database has, as messages of Flyte."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from flyteidl2.common import identifier_pb2
from flyteidl2.task import task_definition_pb2
from flyteidl2.workflow import run_definition_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from flyte_build.worker.runs.phases import Phase
from flyte_build.worker.runs.values import ActionName

if TYPE_CHECKING:
    from flyte_build.worker.runs.values import Action, Transition


def timestamp(seconds: float) -> Timestamp:
    """Seconds since 1970 as protobuf has them."""
    stamp = Timestamp()
    stamp.FromDatetime(datetime.fromtimestamp(seconds, tz=timezone.utc))
    return stamp


def name_of(action_id: identifier_pb2.ActionIdentifier) -> ActionName:
    """The action that a client means; InvalidName when it cannot be one. An empty action is the root."""
    return run_name(action_id.run, action_id.name)


def run_name(run_id: identifier_pb2.RunIdentifier, action: str = "") -> ActionName:
    """The action of a run, the root by default; InvalidName when it cannot be one."""
    return ActionName.parse(f"{run_id.project}/{run_id.domain}/{run_id.name}/{action or 'a0'}")


def action_id(action: Action) -> identifier_pb2.ActionIdentifier:
    """How clients call an action."""
    run = identifier_pb2.RunIdentifier(org=action.org, project=action.project, domain=action.domain, name=action.run)
    return identifier_pb2.ActionIdentifier(run=run, name=action.name)


def run_of(action: Action) -> run_definition_pb2.Run:
    """A run by its root action."""
    spec = task_definition_pb2.TaskSpec.FromString(action.task)
    return run_definition_pb2.Run(
        action=run_definition_pb2.Action(id=action_id(action), metadata=_metadata(spec), status=_status(action))
    )


def details_of(action: Action, transitions: tuple[Transition, ...]) -> run_definition_pb2.ActionDetails:
    """Everything about an action that clients show."""
    spec = task_definition_pb2.TaskSpec.FromString(action.task)
    details = run_definition_pb2.ActionDetails(
        id=action_id(action),
        metadata=_metadata(spec),
        status=_status(action),
        task=spec,
        attempts=[_attempt(action, transitions)],
    )
    if action.error:
        details.error_info.CopyFrom(_error(action))
    elif action.phase == Phase.ABORTED:
        details.abort_info.CopyFrom(run_definition_pb2.AbortInfo(reason=action.abort_reason))
    return details


def _metadata(spec: task_definition_pb2.TaskSpec) -> run_definition_pb2.ActionMetadata:
    template = spec.task_template
    task = task_definition_pb2.TaskIdentifier(
        org=template.id.org,
        project=template.id.project,
        domain=template.id.domain,
        name=template.id.name,
        version=template.id.version,
    )
    return run_definition_pb2.ActionMetadata(
        action_type=run_definition_pb2.ACTION_TYPE_TASK,
        environment_name=spec.environment.name,
        funtion_name=spec.short_name,
        task=run_definition_pb2.TaskActionMetadata(id=task, task_type=template.type, short_name=spec.short_name),
    )


def _status(action: Action) -> run_definition_pb2.ActionStatus:
    status = run_definition_pb2.ActionStatus(
        phase=action.phase,
        start_time=timestamp(action.created_at),
        attempts=1,
    )
    if action.ended_at is not None:
        status.end_time.CopyFrom(timestamp(action.ended_at))
        status.duration_ms = max(0, int((action.ended_at - action.created_at) * 1000))
    return status


def _attempt(action: Action, transitions: tuple[Transition, ...]) -> run_definition_pb2.ActionAttempt:
    ends = [*(one.at for one in transitions[1:]), None]
    attempt = run_definition_pb2.ActionAttempt(
        phase=action.phase,
        start_time=timestamp(action.created_at),
        attempt=1,
        logs_available=action.started_at is not None,
        phase_transitions=[
            run_definition_pb2.PhaseTransition(
                phase=one.phase.value,
                start_time=timestamp(one.at),
                end_time=None if end is None else timestamp(end),
            )
            for one, end in zip(transitions, ends, strict=True)
        ],
    )
    if action.ended_at is not None:
        attempt.end_time.CopyFrom(timestamp(action.ended_at))
    if action.error:
        attempt.error_info.CopyFrom(_error(action))
    return attempt


def _error(action: Action) -> run_definition_pb2.ErrorInfo:
    kinds = {"USER": run_definition_pb2.ErrorInfo.KIND_USER, "SYSTEM": run_definition_pb2.ErrorInfo.KIND_SYSTEM}
    return run_definition_pb2.ErrorInfo(
        message=action.error,
        code=action.error_code,
        kind=kinds.get(action.error_kind, run_definition_pb2.ErrorInfo.KIND_UNSPECIFIED),
    )
