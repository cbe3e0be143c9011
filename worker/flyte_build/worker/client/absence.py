"""A build service that is away: waited for, and said once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from flyte_build.registry.errors import ServiceUnavailable


@dataclass(slots=True, kw_only=True)
class Absence:
    """How long a service may be away, in seconds; `meanwhile` ends the note that it is waited for."""

    patience: float
    say: Callable[[str], None]
    meanwhile: str = ""
    _until: float | None = field(default=None, init=False)

    def ended(self) -> None:
        """It answered."""
        self._until = None

    def bears(self, error: ServiceUnavailable) -> bool:
        """Whether it is to be asked again. The first time it is said why nothing comes."""
        now = time.monotonic()
        begins = self._until is None
        self._until = now + self.patience if self._until is None else self._until
        if now >= self._until:
            return False
        if begins:
            said = f"the service does not answer: {error.sentence}"
            self.say(f"{said}; trying again for {self.patience:.0f} s{self.meanwhile}")
        return True
