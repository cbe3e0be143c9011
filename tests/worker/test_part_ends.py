"""What becomes of a build that was split, when its parts are stopped, late, or all that a project asks for."""

from __future__ import annotations

from dataclasses import fields

import pytest
from tests.worker.conftest import Clock
from tests.worker.make import new_action, new_build
from tests.worker.test_parts import AMD, ARM, BOTH, OUTCOME, phase, take

from flyte_build.registry.errors import ServiceQuota
from flyte_build.worker.builds.aliases import find
from flyte_build.worker.builds.listing import stop
from flyte_build.worker.builds.records import Builds
from flyte_build.worker.builds.upkeep import Upkeep
from flyte_build.worker.builds.values import BuildFailure, NewBuild
from flyte_build.worker.runs.actions import Actions
from flyte_build.worker.runs.phases import Phase
from flyte_build.worker.runs.values import Action


@pytest.fixture
def upkeep(builds: Builds) -> Upkeep:
    upkeep = Upkeep(builds, queue_seconds=60)
    upkeep.seen("a", AMD, 1)
    upkeep.seen("b", ARM, 1)
    return upkeep


@pytest.fixture
def split(builds: Builds, upkeep: Upkeep) -> Action:
    action, _ = builds.submit(new_build(platforms=BOTH), new_action())
    upkeep.split()
    return action


def test_a_part_is_asked_for_as_its_whole_was_but_for_its_platform(builds: Builds, upkeep: Upkeep) -> None:
    asked = new_build(
        platforms=BOTH,
        context_object="inputs/p/development/x/places.json",
        context_sha256="3" * 64,
        force=True,
        form="plan",
        timeout=7.0,
        trace="00-1-2-01",
        guarded=True,
    )
    builds.submit(asked, new_action())
    upkeep.split()
    part = take(builds, "a", AMD).build
    # Limits are counted and not carried; a part never waits for room in the queue.
    same = {field.name for field in fields(NewBuild)} - {"platforms", "most_queued", "most_running"}
    assert {name: getattr(part, name) for name in same} == {name: getattr(asked, name) for name in same}


def test_a_build_that_was_split_runs_as_many_parts_as_its_project_may(builds: Builds, upkeep: Upkeep) -> None:
    builds.submit(new_build(platforms=BOTH, most_running=1), new_action())
    upkeep.split()
    first = take(builds, "a", AMD)
    assert builds.waiting(ARM) == ()
    assert builds.succeed(first, OUTCOME)
    assert take(builds, "b", ARM).build.platforms == ARM


def test_the_parts_of_an_image_make_it_beside_each_other_and_its_name_means_the_whole(
    builds: Builds, split: Action, upkeep: Upkeep
) -> None:
    claims = [take(builds, owner, platforms) for owner, platforms in (("a", AMD), ("b", ARM))]
    assert [builds.settle(claim, "repository@sha256:x") for claim in claims] == ["", ""], "none joins another"
    assert all(builds.succeed(claim, OUTCOME) for claim in claims)
    assert builds.succeed(take(builds, "a", AMD), OUTCOME)
    found = find(builds.database, "p", "development", "demo:1", BOTH)
    assert found is not None
    assert found.run.run == split.run


def test_who_stops_a_part_stops_the_whole_for_everybody(builds: Builds, actions: Actions, split: Action) -> None:
    part = take(builds, "a", AMD)
    assert stop(builds.database, builds, actions, part.build.id, "enough") == 1
    assert phase(actions, split) is Phase.ABORTED
    assert builds.renew(part).stop
    assert builds.waiting(ARM) == ()


def test_a_whole_never_waits_for_a_part_that_was_cancelled(builds: Builds, actions: Actions, split: Action) -> None:
    assert builds.cancelled(take(builds, "a", AMD))
    assert phase(actions, split) is Phase.FAILED
    assert builds.waiting(ARM) == ()


def test_nobody_leaves_a_part(builds: Builds, actions: Actions, split: Action) -> None:
    part = take(builds, "a", AMD)
    builds.leave(part.build.id)
    assert not builds.renew(part).stop
    assert phase(actions, split) is Phase.RUNNING


def test_what_is_to_be_joined_has_waited_since_its_last_part(
    builds: Builds, actions: Actions, split: Action, upkeep: Upkeep, clock: Clock
) -> None:
    claims = [take(builds, owner, platforms) for owner, platforms in (("a", AMD), ("b", ARM))]
    clock.now += 61
    assert all(builds.succeed(claim, OUTCOME) for claim in claims)
    upkeep.overdue()
    assert phase(actions, split) is Phase.RUNNING
    clock.now += 61
    upkeep.overdue()
    assert phase(actions, split) is Phase.FAILED


@pytest.mark.parametrize("way", ["its worker died", "its worker stops", "its engine was away"])
def test_what_was_tried_for_long_has_waited_since_it_came_back(
    builds: Builds, actions: Actions, upkeep: Upkeep, clock: Clock, way: str
) -> None:
    action, _ = builds.submit(new_build(), new_action())
    claim = take(builds, "w", "")
    clock.now += 61
    if way == "its worker died":
        upkeep.expire()
    elif way == "its worker stops":
        builds.give_back(claim)
    else:
        builds.retry(claim, BuildFailure(sentence="away"), after=2)
    upkeep.overdue()
    assert phase(actions, action) is Phase.QUEUED


def test_builds_that_were_split_wait_too_until_a_part_begins(builds: Builds, upkeep: Upkeep) -> None:
    def ask(number: int) -> None:
        builds.submit(new_build(target=f"demo:{number}", platforms=BOTH, most_queued=2), new_action(f"r{number}"))
        upkeep.split()

    ask(0)
    ask(1)
    with pytest.raises(ServiceQuota, match="2 builds of p/development wait"):
        ask(2)
    take(builds, "a", AMD)
    ask(2)
