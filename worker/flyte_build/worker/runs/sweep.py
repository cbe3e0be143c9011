"""Labels of our containers, and the removal of those that a process left which was killed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flyte_build.registry.errors import EngineError, InvalidName, ServiceError
from flyte_build.worker.runs.phases import Phase
from flyte_build.worker.runs.values import ActionName

if TYPE_CHECKING:
    from flyte_build.worker.runs.actions import Actions
    from flyte_build.worker.runs.container import Containers

_log = logging.getLogger(__name__)
_ACTION = "flyte-build.action"


def service_label(service: str) -> str:
    """On every container of a service."""
    return f"flyte-build.service={service}"


def action_label(service: str, name: ActionName) -> str:
    """On the one container of an action."""
    return f"{_ACTION}={service}/{name}"


def sweep(containers: Containers, actions: Actions, service: str) -> None:
    """Removes the containers of this service whose action has ended or is not known; never raises."""
    try:
        for container, value in containers.labelled(service_label(service), _ACTION):
            if _ended(actions, value.removeprefix(f"{service}/")):
                containers.remove(container)
    except (EngineError, ServiceError) as error:
        _log.info("containers of earlier runs cannot be looked for: %s", error.sentence)


def _ended(actions: Actions, name: str) -> bool:
    try:
        action = actions.get(ActionName.parse(name))
    except InvalidName:
        return False
    return action is None or Phase(action.phase).terminal
