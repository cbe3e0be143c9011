"""Which uploads, and inputs of runs, may go: nobody refers to them, and nobody asked for them for a day.

Rows of builds and runs go first (`builds.forgetting`), what only they named goes when it is looked for here: whoever is
killed between the two, or in the middle, leaves objects that nobody refers to, and the next one removes them.
Clients remember for a day that an upload is there, and do not ask again: less than that is never removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyteidl2.task.common_pb2 import Inputs
from flyteidl2.task.run_pb2 import RunSpec
from flyteidl2.task.task_definition_pb2 import TaskSpec
from google.protobuf.message import DecodeError, Message
from sqlalchemy import select

from flyte_build.registry.errors import InvalidInput
from flyte_build.worker.builds.plans import MAX_PLACES, Places
from flyte_build.worker.builds.values import ACTIVE
from flyte_build.worker.database.schema import ActionRow, BuildRow, TaskRow
from flyte_build.worker.runs.objects import texts
from flyte_build.worker.stores.keys import NATIVE_ROOT, ObjectKey, is_native

if TYPE_CHECKING:
    from flyte_build.worker.database.engine import Database
    from flyte_build.worker.stores.store import Held, Store

DAY = 24 * 3600.0
_MAX_INPUTS = 20 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of an object, and why."""

    held: Held
    kept: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """The names of objects that tasks, runs and builds refer to; a name stands for everything below it too."""

    names: frozenset[str]

    def hold(self, key: ObjectKey) -> bool:
        """Whether `key`, or a directory that it is in, is referred to."""
        parts = key.parts
        return any("/".join(parts[:end]) in self.names for end in range(4, len(parts) + 1))


def fates(held: Iterable[Held], references: References, now: float, age: float = DAY) -> Iterator[Fate]:
    """The fate of everything. `age` in seconds, at least a day. Raises InvalidInput for less."""
    if age < DAY:
        raise InvalidInput(
            "uploads of the last 24 hours are never removed: clients take them for granted", hint="give 24 or more"
        )
    for one in held:
        if references.hold(one.key):
            yield Fate(held=one, kept=True, why="a task, a run or a build refers to it")
        elif now - one.since < age:
            yield Fate(held=one, kept=True, why=f"it was wanted less than {age / 3600:.0f} hours ago")
        else:
            yield Fate(
                held=one, kept=False, why=f"nothing refers to it, and nobody wanted it for {age / 3600:.0f} hours"
            )


def prune(store: Store, database: Database, now: float, *, age: float = DAY, dry_run: bool) -> tuple[Fate, ...]:
    """Removes what may go (unless `dry_run`), and says what became of everything.

    The objects are listed before the references are read: what a run begins to refer to meanwhile is seen.
    """
    held = tuple(store.held())
    decided = tuple(fates(held, references_in(database, store, held), now, age))
    for fate in decided:
        if not fate.kept and not dry_run:
            store.remove(fate.held.key)
    return decided


def references_in(database: Database, store: Store, held: Iterable[Held]) -> References:
    """What is referred to: by deployed tasks, by runs and what their inputs hold, by builds."""
    names: set[str] = set()
    inputs: set[str] = set()
    with database.read() as session:
        for spec in session.scalars(select(TaskRow.spec)):
            names.update(_named(TaskSpec, spec))
        rows = session.execute(select(ActionRow.task, ActionRow.run_spec, ActionRow.inputs_object))
        for task, run_spec, inputs_object in rows:
            names.update(_named(TaskSpec, task))
            names.update(_named(RunSpec, run_spec))
            inputs.add(inputs_object)
        names.update(inputs)
        for pair in session.execute(select(BuildRow.spec_object, BuildRow.context_object)):
            names.update(pair)
        # Files of plans are needed until the build is done; whoever builds the plan again brings them again.
        waiting = select(BuildRow.context_object).where(BuildRow.form == "plan", BuildRow.state.in_(ACTIVE))
        plans = tuple(session.scalars(waiting))
    for name in plans:
        names.update(key for _, key in Places.decode(store.read(ObjectKey.parse(name), MAX_PLACES)).files)
    there = {str(one.key) for one in held if one.key.area == "inputs"}
    for name in inputs & there:
        names.update(_named(Inputs, store.read(ObjectKey.parse(name), _MAX_INPUTS)))
    return References(names=frozenset(names - {""}))


def _named(kind: type[Message], data: bytes) -> Iterator[str]:
    try:
        message = kind.FromString(data)
    except DecodeError:
        return
    for text in texts(message):
        if is_native(text):
            yield text.partition(f"{NATIVE_ROOT}/")[2]
