from __future__ import annotations

import threading

import pytest
from tests.worker.conftest import REFERENCE, Clock
from tests.worker.make import new_action, new_build

from flyte_build.worker.builds.records import MAX_ATTEMPTS, Builds
from flyte_build.worker.builds.request import BuildOutcome
from flyte_build.worker.builds.upkeep import Upkeep
from flyte_build.worker.builds.values import BuildFailure, BuildState, Claim
from flyte_build.worker.runs.actions import Actions
from flyte_build.worker.runs.phases import Phase
from flyte_build.worker.runs.values import Action

OUTCOME = BuildOutcome(reference=REFERENCE, spec_digest="sha256:b", status="built", seconds=1)


def claimed(builds: Builds, build_id: str, owner: str = "w1") -> Claim:
    claim = builds.claim(owner, build_id)
    assert claim is not None
    return claim


def phases(actions: Actions, action: Action) -> list[str]:
    return [one.phase.name for one in actions.transitions(action)]


def test_a_build_goes_through_its_phases_and_answers_its_run(builds: Builds, actions: Actions) -> None:
    action, build = builds.submit(new_build(), new_action())
    assert builds.waiting() == (build.id,)
    claim = claimed(builds, build.id)
    assert builds.waiting() == ()
    assert builds.succeed(claim, OUTCOME)
    assert phases(actions, action) == ["QUEUED", "RUNNING", "SUCCEEDED"]
    ended = actions.get(action.full_name)
    assert ended is not None
    assert REFERENCE.encode() in ended.outputs


@pytest.mark.parametrize(
    ("change", "joins"),
    [
        pytest.param({}, True, id="the same is asked"),
        pytest.param({"spec_object": "uploads/p/development/other/spec.pb"}, True, id="the same is elsewhere"),
        pytest.param({"target": "demo:2"}, False, id="the target differs"),
        pytest.param({"spec_sha256": "2" * 64}, False, id="the spec differs"),
        pytest.param({"context_sha256": "2" * 64}, False, id="the context differs"),
        pytest.param({"project": "q"}, False, id="the project differs"),
        pytest.param({"domain": "production"}, False, id="the domain differs"),
        pytest.param({"platforms": "linux/arm64"}, False, id="the platforms differ"),
        pytest.param({"form": "plan"}, False, id="one is a plan"),
        pytest.param({"force": True}, False, id="one is forced"),
    ],
)
def test_a_second_request_joins_only_if(builds: Builds, change: dict[str, object], joins: bool) -> None:
    _, first = builds.submit(new_build(), new_action("r1"))
    _, second = builds.submit(new_build(**change), new_action("r2"))
    assert (first.id == second.id) is joins


def test_who_joins_late_is_running_at_once_and_gets_the_same_end(builds: Builds, actions: Actions) -> None:
    first, build = builds.submit(new_build(), new_action("r1"))
    claim = claimed(builds, build.id)
    second, _ = builds.submit(new_build(), new_action("r2"))
    assert second.phase == Phase.RUNNING
    builds.fail(claim, BuildFailure(sentence="no such package", step="RUN pip", log="last line"))
    for action in (first, second):
        ended = actions.get(action.full_name)
        assert ended is not None
        assert (ended.phase, ended.error) == (Phase.FAILED, "no such package\nfailing step: RUN pip\nlast line")


def test_after_the_end_the_same_request_is_a_new_build(builds: Builds) -> None:
    _, first = builds.submit(new_build(), new_action("r1"))
    builds.succeed(claimed(builds, first.id), OUTCOME)
    _, second = builds.submit(new_build(), new_action("r2"))
    assert first.id != second.id


def test_fifty_requests_at_once_are_one_build(builds: Builds) -> None:
    found: list[str] = []

    def ask(number: int) -> None:
        found.append(builds.submit(new_build(), new_action(f"r{number}"))[1].id)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 50
    assert len(set(found)) == 1


def test_a_build_is_claimed_once_however_many_want_it(builds: Builds) -> None:
    _, build = builds.submit(new_build(), new_action())
    claims: list[Claim | None] = []
    threads = [
        threading.Thread(target=lambda one=number: claims.append(builds.claim(f"w{one}", build.id)))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([claim for claim in claims if claim is not None]) == 1


def test_a_renewed_lease_holds_and_an_old_one_is_taken_back(builds: Builds, actions: Actions, clock: Clock) -> None:
    action, build = builds.submit(new_build(), new_action())
    dead = claimed(builds, build.id, "dead")
    clock.now += 29
    assert builds.renew(dead).held
    clock.now += 29
    Upkeep(builds).expire()
    assert builds.waiting() == ()
    clock.now += 2
    Upkeep(builds).expire()
    assert builds.waiting() == (build.id,)
    alive = claimed(builds, build.id, "alive")
    assert not builds.renew(dead).held
    assert not builds.succeed(dead, OUTCOME), "a worker that lost its lease must not decide anything"
    assert builds.succeed(alive, OUTCOME)
    assert phases(actions, action) == ["QUEUED", "RUNNING", "QUEUED", "RUNNING", "SUCCEEDED"]


def test_the_same_worker_cannot_use_a_claim_of_an_earlier_attempt(builds: Builds, clock: Clock) -> None:
    _, build = builds.submit(new_build(), new_action())
    first = claimed(builds, build.id)
    clock.now += 31
    Upkeep(builds).expire()
    claimed(builds, build.id)
    assert not builds.succeed(first, OUTCOME)


def test_a_build_that_kills_its_worker_three_times_fails_with_that_reason(
    builds: Builds, actions: Actions, clock: Clock
) -> None:
    action, build = builds.submit(new_build(), new_action())
    for _ in range(MAX_ATTEMPTS):
        claim = claimed(builds, build.id)
        clock.now += 31
        Upkeep(builds).expire()
    assert builds.waiting() == ()
    assert not builds.renew(claim).held
    assert not builds.succeed(claim, OUTCOME), "what has ended is not anybody's, nor that of its last worker"
    ended = actions.get(action.full_name)
    assert ended is not None
    assert "died" in ended.error


def test_a_build_that_is_given_back_was_not_tried(builds: Builds) -> None:
    _, build = builds.submit(new_build(), new_action())
    for _ in range(MAX_ATTEMPTS + 2):
        assert builds.give_back(claimed(builds, build.id))
    assert claimed(builds, build.id).attempt == 1


def test_who_gave_a_build_back_decides_nothing_for_the_next_one(builds: Builds) -> None:
    """A build that was given back was not tried, so the next claim is the same attempt of another worker."""
    _, build = builds.submit(new_build(), new_action())
    before = claimed(builds, build.id, "w1")
    assert builds.give_back(before)
    now = claimed(builds, build.id, "w2")
    assert (now.attempt, builds.renew(before).held, builds.succeed(before, OUTCOME)) == (1, False, False)
    assert builds.succeed(now, OUTCOME)


def test_a_build_is_stopped_when_the_last_run_that_waits_is_aborted(builds: Builds, actions: Actions) -> None:
    first, build = builds.submit(new_build(), new_action("r1"))
    second, _ = builds.submit(new_build(), new_action("r2"))
    claim = claimed(builds, build.id)
    actions.abort(first, "not needed")
    builds.leave(build.id)
    assert not builds.renew(claim).stop
    actions.abort(second, "not needed")
    builds.leave(build.id)
    assert builds.renew(claim).stop
    _, again = builds.submit(new_build(), new_action("r3"))
    assert again.id != build.id, "nobody joins a build that is being stopped"
    assert builds.cancelled(claim)


def test_a_queued_build_that_nobody_wants_is_never_built(builds: Builds, actions: Actions) -> None:
    action, build = builds.submit(new_build(), new_action())
    actions.abort(action, "")
    builds.leave(build.id)
    assert builds.waiting() == ()
    ended = builds.get(build.id)
    assert ended is not None
    assert ended.state == BuildState.CANCELLED.value


def test_a_worker_that_is_known_to_be_dead_is_not_waited_for(builds: Builds) -> None:
    _, mine = builds.submit(new_build(), new_action("r1"))
    _, other = builds.submit(new_build(target="demo:2"), new_action("r2"))
    claimed(builds, mine.id, "me-1")
    claimed(builds, other.id, "me2-1")
    upkeep = Upkeep(builds)
    for owner in ("me-1", "you-1"):
        upkeep.seen(owner, "", 1)
    upkeep.expire(dead="me-")
    assert upkeep.workers() == ("you-1",), "nobody counts on who is known to be dead"
    assert builds.waiting() == (mine.id,)
