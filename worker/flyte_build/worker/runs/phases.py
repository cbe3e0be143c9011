"""The phases of an action, with the numbers of `flyteidl2.common.ActionPhase`."""

from __future__ import annotations

from enum import IntEnum


class Phase(IntEnum):
    """Where an action is; it only ever moves forward."""

    QUEUED = 1
    WAITING_FOR_RESOURCES = 2
    INITIALIZING = 3
    RUNNING = 4
    SUCCEEDED = 5
    FAILED = 6
    ABORTED = 7
    TIMED_OUT = 8

    @property
    def terminal(self) -> bool:
        """Whether nothing comes after it."""
        return self >= Phase.SUCCEEDED

    def may_become(self, other: Phase) -> bool:
        """Whether an action in this phase may enter `other`: forward only, and never out of the end.

        Back to QUEUED is allowed before the end, because a build whose worker died is put back.
        """
        return not self.terminal and (other > self or other is Phase.QUEUED) and other is not self
