"""Limits of a task, from Kubernetes quantities to what an engine takes.

Source: Kubernetes API, "resource.Quantity": a decimal number and a suffix (m, k, M, G, T, P, E, Ki … Ei).
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from flyteidl2.core import tasks_pb2

from flyte_build.registry.errors import InvalidInput

if TYPE_CHECKING:
    from flyteidl2.core.tasks_pb2 import Resources

_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{0,9})?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_FACTORS = {
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
}
_MIN_MEMORY = 6 * 2**20


def quantity(text: str) -> Decimal:
    """The number that a quantity means; InvalidInput for anything else."""
    found = _QUANTITY.fullmatch(text.strip())
    if not found:
        raise InvalidInput(f"{text[:40]!r} is not an amount of a resource", hint="write it like 500m, 2 or 1Gi")
    return Decimal(found[1]) * _FACTORS.get(found[2], Decimal(1))


def memory_of(resources: Resources) -> int:
    """The memory limit in bytes, 0 when there is none; never less than an engine accepts."""
    asked = _limit(resources, tasks_pb2.Resources.MEMORY)
    return max(int(quantity(asked)), _MIN_MEMORY) if asked else 0


def cpus_of(resources: Resources, available: int) -> str:
    """The CPU limit as a decimal number, empty when there is none; an engine refuses more than it has."""
    asked = _limit(resources, tasks_pb2.Resources.CPU)
    return str(min(max(quantity(asked), Decimal("0.01")), Decimal(available)).normalize()) if asked else ""


def _limit(resources: Resources, name: int) -> str:
    return next((entry.value for entry in resources.limits if entry.name == name), "")
