"""What a service believes to be in its registry: the digests that it pushed itself, and when that answers a request."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from sqlalchemy import text
from tests.worker.conftest import Clock
from tests.worker.make import new_action, new_build

from flyte_build.builder.recipe import RECIPE
from flyte_build.registry.errors import RegistryUnavailable
from flyte_build.registry.names import Digest, ImageName
from flyte_build.worker.access.policy import Place, Policy
from flyte_build.worker.builds.images import Resolved
from flyte_build.worker.builds.records import Builds
from flyte_build.worker.builds.request import BuildOutcome
from flyte_build.worker.builds.upkeep import Upkeep
from flyte_build.worker.builds.values import BuildFailure, NewBuild
from flyte_build.worker.database.engine import Database
from flyte_build.worker.endpoint.existing import Existing
from flyte_build.worker.endpoint.plan_request import AskedPlan

HERE = "registry.test/p/demo"
KEY = f"{HERE}@sha256:{'c' * 64}"
OURS, NEWER, BASE, MOVED = (f"sha256:{digit * 64}" for digit in "abde")
POLICY = Policy(registry="registry.test/p")


@dataclass
class Registry:
    """What is where, and what was asked."""

    holds: dict[str, str] = field(default_factory=lambda: {f"{HERE}@{OURS}": OURS, "base.test/python:3": BASE})
    asked: list[str] = field(default_factory=list)

    @property
    def manifests(self) -> Registry:
        return self

    def find(self, name: ImageName) -> Any:
        self.asked.append(str(name))
        found = self.holds.get(str(name))
        return None if found is None else Manifest(Descriptor(Digest.parse(found)))


@dataclass
class Descriptor:
    digest: Digest


@dataclass
class Manifest:
    descriptor: Descriptor


class Away(Registry):
    def find(self, name: ImageName) -> Any:
        self.asked.append(str(name))
        raise RegistryUnavailable(f"{name.repository.registry} does not answer")


def outcome(reference: str, **changes: object) -> BuildOutcome:
    resolved = Resolved(recipe=RECIPE, digests=(("base.test/python:3", BASE),))
    made = BuildOutcome(
        reference=reference, spec_digest=f"sha256:{'c' * 64}", status="built", seconds=1, bases=resolved.encode()
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def built(builds: Builds, new: NewBuild, run: str, reference: str = f"{HERE}@{OURS}", **changes: object) -> str | None:
    """A build of KEY, done; what was known of it when it began."""
    _, build = builds.submit(new, new_action(run))
    claim = builds.claim("w", build.id)
    assert claim is not None
    known = builds.settle(claim, KEY)
    assert builds.succeed(claim, outcome(reference, **changes))
    return known


def of_spec(database: Database, registry: Registry, new: NewBuild | None = None, policy: Policy = POLICY) -> str | None:
    answer = Existing(database, registry).of_spec(new or new_build(), policy)  # type: ignore[arg-type]
    return None if answer is None else answer.reference


def test_what_was_pushed_is_known_from_then_on_and_the_last_counts(builds: Builds) -> None:
    assert built(builds, new_build(), "r1") == ""
    assert built(builds, new_build(), "r2", f"{HERE}@{NEWER}") == f"{HERE}@{OURS}"
    assert built(builds, new_build(domain="production"), "r3") == f"{HERE}@{NEWER}", "secrets are the project's"


def test_what_was_only_found_is_not_known(builds: Builds) -> None:
    built(builds, new_build(), "r1", status="exists")
    assert built(builds, new_build(), "r2") == "", "somebody else may have pushed it"


def test_a_neighbours_image_is_not_known(builds: Builds) -> None:
    built(builds, new_build(), "r1")
    assert built(builds, new_build(project="q"), "r2") == ""


def test_an_unchanged_request_is_answered_by_one_question_for_the_image_and_one_for_each_base(
    builds: Builds, database: Database
) -> None:
    registry = Registry()
    assert of_spec(database, registry) is None, "it was never built"
    built(builds, new_build(), "r1")
    assert of_spec(database, registry) == f"{HERE}@{OURS}"
    assert sorted(registry.asked) == ["base.test/python:3", f"{HERE}@{OURS}"]


def test_a_base_that_is_named_by_its_digest_is_not_asked_for(builds: Builds, database: Database) -> None:
    registry, pinned = Registry(), f"base.test/python@{BASE}"
    built(builds, new_build(), "r1", bases=Resolved(recipe=RECIPE, digests=((pinned, BASE),)).encode())
    assert of_spec(database, registry) == f"{HERE}@{OURS}"
    assert registry.asked == [f"{HERE}@{OURS}"]


@pytest.mark.parametrize(
    ("request_", "registry", "policy"),
    [
        (new_build(force=True), Registry(), POLICY),
        (new_build(spec_sha256="2" * 64), Registry(), POLICY),
        (new_build(context_sha256="2" * 64), Registry(), POLICY),
        (new_build(platforms="linux/arm64"), Registry(), POLICY),
        (new_build(project="q"), Registry(), POLICY),
        (new_build(domain="production"), Registry(), POLICY),
        (new_build(), Registry(holds={"base.test/python:3": BASE}), POLICY),
        (new_build(), Registry(holds={f"{HERE}@{OURS}": OURS, "base.test/python:3": MOVED}), POLICY),
        (new_build(), Registry(holds={f"{HERE}@{OURS}": OURS}), POLICY),
        (new_build(), Away(), POLICY),
        (new_build(), Registry(), Policy(registry="registry.test/elsewhere")),
        (new_build(), Registry(), replace(POLICY, bases=(Place.parse("docker.io"),))),
    ],
    ids=[
        "forced",
        "another spec",
        "other files",
        "another platform",
        "another project",
        "another domain",
        "the registry lost it",
        "the base moved",
        "the base is gone",
        "the registry is away",
        "images go elsewhere now",
        "the base is not allowed any more",
    ],
)
def test_whatever_is_not_sure_is_left_to_a_worker(
    builds: Builds, database: Database, request_: NewBuild, registry: Registry, policy: Policy
) -> None:
    built(builds, new_build(), "r1")
    assert of_spec(database, registry, request_, policy) is None


def test_a_build_that_failed_since_takes_nothing_back(builds: Builds, database: Database, clock: Clock) -> None:
    built(builds, new_build(), "r1")
    clock.now += 1
    _, build = builds.submit(new_build(), new_action("r2"))
    claim = builds.claim("w", build.id)
    assert claim is not None
    assert builds.settle(claim, KEY) == f"{HERE}@{OURS}"
    assert builds.fail(claim, BuildFailure(sentence="no such package"))
    assert of_spec(database, Registry()) == f"{HERE}@{OURS}"


def test_a_registry_that_did_not_answer_is_left_alone_for_a_while(
    builds: Builds, database: Database, clock: Clock
) -> None:
    pinned = Resolved(recipe=RECIPE, digests=((f"base.test/python@{BASE}", BASE),)).encode()
    built(builds, new_build(), "r1", bases=pinned)
    registry = Away()
    existing = Existing(database, registry, clock)  # type: ignore[arg-type]
    for seconds, asked in ((0, 1), (9, 1), (2, 2)):
        clock.now += seconds
        assert existing.of_spec(new_build(), POLICY) is None
        assert len(registry.asked) == asked, f"{seconds} s later"


def test_another_recipe_or_a_build_of_an_earlier_release_answers_nothing(builds: Builds, database: Database) -> None:
    older = Resolved(recipe=RECIPE - 1, digests=()).encode()
    for run, bases in enumerate((older, "")):
        built(builds, new_build(), f"r{run}", bases=bases)
        assert of_spec(database, Registry()) is None


def test_a_plan_is_answered_by_its_digest_but_not_with_tags(builds: Builds, database: Database) -> None:
    built(builds, new_build(form="plan"), "r1", bases="")
    existing = Existing(database, Registry())  # type: ignore[arg-type]
    plan = AskedPlan(project="p", domain="development", target=f"{HERE}:1", plan="file:///x", base=f"b.test/x@{BASE}")
    answer = existing.of_plan(plan, "c" * 64, POLICY)
    assert answer is not None
    assert answer.reference == f"{HERE}@{OURS}"
    assert existing.of_plan(plan, "d" * 64, POLICY) is None
    others: tuple[dict[str, Any], ...] = (
        {"force": True},
        {"tags": ("v1",)},
        {"domain": "production"},
        {"project": "q"},
    )
    for other in (replace(plan, **changes) for changes in others):
        assert existing.of_plan(other, "c" * 64, POLICY) is None


def test_where_images_are_signed_only_what_has_its_signature_is_answered(builds: Builds, database: Database) -> None:
    built(builds, new_build(), "r1")
    registry = Registry()
    assert of_spec(database, registry) == f"{HERE}@{OURS}"
    Upkeep(builds).seen("w", "", 1, signs=True)
    assert of_spec(database, registry) is None, "it was built before the workers signed"
    built(builds, new_build(), "r2", signed=True)
    assert of_spec(database, registry) is None, "whoever can delete removed the signature"
    registry.holds[f"{HERE}:{OURS.replace(':', '-')}.sig"] = NEWER
    assert of_spec(database, registry) == f"{HERE}@{OURS}"


def test_an_answered_run_has_ended_with_the_image_and_shares_the_log_of_its_build(
    builds: Builds, database: Database
) -> None:
    built(builds, new_build(), "r1")
    answer = Existing(database, Registry()).of_spec(new_build(), POLICY)  # type: ignore[arg-type]
    assert answer is not None
    run = builds.answer(answer, new_action("r2"))
    assert (run.phase, run.build_id) == (5, answer.build.id)
    assert OURS.encode() in run.outputs
    with database.read() as session:
        assert session.execute(text("SELECT count(*) FROM builds")).scalar() == 1
