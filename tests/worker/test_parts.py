"""Builds for several platforms over workers of one each; order between projects; the same image asked in two ways."""

from __future__ import annotations

import pytest
from tests.worker.conftest import REFERENCE, Clock
from tests.worker.make import new_action, new_build

from flyte_build.worker.builds.parts import splittable
from flyte_build.worker.builds.records import Builds
from flyte_build.worker.builds.request import BuildOutcome
from flyte_build.worker.builds.upkeep import Upkeep
from flyte_build.worker.builds.values import BuildFailure, Claim
from flyte_build.worker.runs.actions import Actions
from flyte_build.worker.runs.phases import Phase
from flyte_build.worker.runs.values import Action

AMD, ARM = "linux/amd64", "linux/arm64"
BOTH = f"{AMD},{ARM}"
OUTCOME = BuildOutcome(reference=REFERENCE, spec_digest="sha256:b", status="built", seconds=1)


@pytest.mark.parametrize(
    ("platforms", "workers", "expected"),
    [
        (BOTH, (AMD, ARM), True),
        (BOTH, (AMD, ARM, ""), True),
        (BOTH, (AMD, ""), False),
        (BOTH, (AMD,), False),
        (BOTH, (BOTH,), False),
        (BOTH, (), False),
        (AMD, (AMD, ARM), False),
        ("", (AMD, ARM), False),
    ],
    ids=[
        "one worker for each",
        "one for each, and one for all",
        "one, and one for all",
        "one has nobody",
        "one for both",
        "nobody lives",
        "one platform is whole",
        "no platform is whole",
    ],
)
def test_a_build_is_split_if(platforms: str, workers: tuple[str, ...], expected: bool) -> None:
    assert splittable(platforms, workers) is expected


@pytest.fixture
def upkeep(builds: Builds) -> Upkeep:
    return Upkeep(builds)


@pytest.fixture
def split(builds: Builds, upkeep: Upkeep) -> Action:
    upkeep.seen("a", AMD, 1)
    upkeep.seen("b", ARM, 1)
    action, _ = builds.submit(new_build(platforms=BOTH), new_action())
    upkeep.split()
    return action


def take(builds: Builds, owner: str, platforms: str) -> Claim:
    (first, *_) = builds.waiting(platforms)
    claim = builds.claim(owner, first)
    assert claim is not None
    return claim


def phase(actions: Actions, action: Action) -> Phase:
    found = actions.get(action.full_name)
    assert found is not None
    return Phase(found.phase)


def test_each_worker_takes_its_platform_and_whoever_is_free_joins(
    builds: Builds, actions: Actions, split: Action, upkeep: Upkeep
) -> None:
    assert phase(actions, split) is Phase.RUNNING
    first, second = take(builds, "a", AMD), take(builds, "b", ARM)
    assert (first.build.platforms, first.whole) == (AMD, BOTH)
    assert (builds.waiting(AMD), builds.waiting(ARM)) == ((), ())
    builds.succeed(first, OUTCOME)
    assert builds.waiting() == (), "a part is missing still"
    upkeep.once()
    builds.succeed(second, OUTCOME)
    join = take(builds, "a", AMD)
    assert [part.platforms for part in join.parts] == [AMD, ARM]
    assert builds.succeed(join, OUTCOME)
    assert phase(actions, split) is Phase.SUCCEEDED


def test_a_part_that_fails_fails_the_whole_and_stops_the_others(
    builds: Builds, actions: Actions, split: Action
) -> None:
    first, second = take(builds, "a", AMD), take(builds, "b", ARM)
    builds.fail(first, BuildFailure(sentence="no such package"))
    assert phase(actions, split) is Phase.FAILED
    assert builds.renew(second).stop


def test_a_whole_that_nobody_wants_stops_its_parts(builds: Builds, actions: Actions, split: Action) -> None:
    first = take(builds, "a", AMD)
    actions.abort(split, "enough")
    assert split.build_id is not None
    builds.leave(split.build_id)
    assert builds.renew(first).stop
    assert builds.waiting(ARM) == ()


def test_a_worker_that_dies_while_it_joins_leaves_the_parts_to_the_next(
    builds: Builds, split: Action, upkeep: Upkeep, clock: Clock
) -> None:
    for owner, platforms in (("a", AMD), ("b", ARM)):
        builds.succeed(take(builds, owner, platforms), OUTCOME)
    take(builds, "a", AMD)
    clock.now += 31
    upkeep.expire()
    assert len(take(builds, "b", ARM).parts) == 2


def test_a_worker_takes_what_it_can_build_and_nothing_else(builds: Builds) -> None:
    _, arm = builds.submit(new_build(platforms=ARM), new_action("r1"))
    _, amd = builds.submit(new_build(platforms=AMD), new_action("r2"))
    assert builds.waiting(AMD) == (amd.id,)
    assert builds.waiting(ARM) == (arm.id,)
    assert set(builds.waiting("")) == set(builds.waiting(BOTH)) == {arm.id, amd.id}


def test_the_first_build_of_a_project_does_not_wait_for_two_hundred_of_another(builds: Builds, clock: Clock) -> None:
    for number in range(200):
        clock.now += 1
        builds.submit(new_build(target=f"many:{number}"), new_action(f"r{number}"))
    clock.now += 1
    _, single = builds.submit(new_build(project="q"), new_action("q1"))
    assert builds.waiting()[1] == single.id
    builds.claim("w", builds.waiting()[0])
    assert builds.waiting()[0] == single.id, "a project that runs one already stands behind"


def test_two_requests_that_turn_out_to_be_one_image_are_one_build(builds: Builds, actions: Actions) -> None:
    first, one = builds.submit(new_build(), new_action("r1"))
    second, other = builds.submit(new_build(spec_sha256="2" * 64), new_action("r2"))
    mine, theirs = builds.claim("a", one.id), builds.claim("b", other.id)
    assert mine is not None
    assert theirs is not None
    assert builds.settle(mine, "repository@sha256:x") is not None
    assert builds.settle(theirs, "repository@sha256:x") is None
    assert not builds.succeed(theirs, OUTCOME), "it is nobody's any more"
    builds.succeed(mine, OUTCOME)
    assert [phase(actions, action) for action in (first, second)] == [Phase.SUCCEEDED] * 2
    found = builds.get(other.id)
    assert found is not None
    assert found.id == one.id


def test_an_image_whose_build_is_being_stopped_is_not_joined_and_costs_no_attempt(
    builds: Builds, actions: Actions
) -> None:
    first, one = builds.submit(new_build(), new_action("r1"))
    _, other = builds.submit(new_build(spec_sha256="2" * 64), new_action("r2"))
    mine, theirs = builds.claim("a", one.id), builds.claim("b", other.id)
    assert mine is not None
    assert theirs is not None
    assert builds.settle(mine, "repository@sha256:x") is not None
    actions.abort(first, "enough")
    builds.leave(one.id)
    assert builds.settle(theirs, "repository@sha256:x") is None
    found = builds.get(other.id)
    assert found is not None
    assert (found.id, found.state, found.attempts) == (other.id, "queued", 0)


def test_the_same_image_of_another_project_or_domain_is_not_joined(builds: Builds) -> None:
    ids = []
    for number, changes in enumerate(({"project": "a"}, {"domain": "a"}, {})):
        _, build = builds.submit(new_build(**changes), new_action(f"r{number}"))
        claim = builds.claim("a", build.id)
        assert claim is not None
        assert builds.settle(claim, "repository@sha256:x") is not None, "each builds its own"
        ids.append(build.id)
    _, again = builds.submit(new_build(spec_sha256="2" * 64), new_action("r9"))
    claim = builds.claim("b", again.id)
    assert claim is not None
    assert builds.settle(claim, "repository@sha256:x") is None
    found = builds.get(again.id)
    assert found is not None
    assert found.id == ids[-1]


def test_what_is_away_for_a_moment_is_tried_again_later_and_not_for_ever(
    builds: Builds, actions: Actions, clock: Clock
) -> None:
    action, build = builds.submit(new_build(), new_action())
    for _ in range(2):
        claim = take(builds, "w", "")
        builds.retry(claim, BuildFailure(sentence="the engine is away"), after=5)
        assert builds.waiting() == ()
        clock.now += 6
    builds.retry(take(builds, "w", ""), BuildFailure(sentence="the engine is away"), after=5)
    found = actions.get(action.full_name)
    assert found is not None
    assert (found.phase, found.error) == (Phase.FAILED, "the engine is away")
    del build


def test_a_build_that_nobody_takes_fails_after_the_queues_time(builds: Builds, actions: Actions, clock: Clock) -> None:
    action, _ = builds.submit(new_build(platforms=ARM), new_action())
    clock.now += 61
    Upkeep(builds, 60).overdue()
    found = actions.get(action.full_name)
    assert found is not None
    assert found.error.startswith("the build waited for 60 seconds: no worker for linux/arm64 was free; ask again")
