"""What may go, and why the rest stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_build.registry.descriptors import Descriptor
from flyte_build.registry.inventory import Stored, shared
from flyte_build.registry.moments import parse_moment
from flyte_build.registry.names import Digest, ImageReference, Repository
from flyte_build.registry.prune import LEAST_AGE, Rule, choose

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
REPOSITORY = Repository.parse("ghcr.io/acme/train")
OLD = timedelta(days=30)


def digest(number: int) -> Digest:
    return Digest("sha256", f"{number:064x}")


def image(
    number: int,
    age: timedelta | None = OLD,
    tags: tuple[str, ...] | None = None,
    ours: bool = True,
    parts: tuple[int, ...] = (),
) -> Stored:
    spec = digest(number + 1000) if ours else None
    own = (spec.hex[:40],) if spec else ("v1",)
    return Stored(
        reference=ImageReference(REPOSITORY, digest(number)),
        tags=own if tags is None else tags,
        spec_digest=spec,
        created=None if age is None else NOW - age,
        parts=tuple(digest(part) for part in parts),
    )


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("one", "rule", "why"),
    [
        pytest.param(image(1), Rule(), "", id="old and ours goes"),
        pytest.param(image(1, tags=()), Rule(), "", id="without any tag it goes too"),
        pytest.param(image(1, ours=False), Rule(), "not built by flyte-build", id="somebody else's stays"),
        pytest.param(image(1, tags=("latest",)), Rule(), "tagged latest", id="a tag of the user's keeps it"),
        pytest.param(image(1, age=None), Rule(), "its age is not known", id="without an age it stays"),
        pytest.param(
            replace(image(1), unlisted="?"),
            Rule(),
            "what is attached to it cannot be read",
            id="an unread list keeps it",
        ),
        pytest.param(image(1, age=DAY - timedelta(seconds=1)), Rule(), "younger than 24 h", id="almost a day stays"),
        pytest.param(image(1, age=DAY), Rule(), "", id="a day goes"),
        pytest.param(image(1, age=-DAY), Rule(), "younger than 24 h", id="from the future stays"),
        pytest.param(image(1, age=timedelta(0)), Rule(older_than=timedelta(0)), "younger than 24 h", id="no less"),
        pytest.param(image(1), Rule(older_than=timedelta(days=31)), "younger than asked", id="younger than asked"),
        pytest.param(image(1), Rule(keep=1), "among the newest 1", id="among the newest"),
        pytest.param(image(1), Rule(needed=frozenset({digest(1)})), "still needed", id="needed by its digest"),
        pytest.param(
            image(1, parts=(5,)), Rule(needed=frozenset({digest(5)})), "still needed", id="by a part's digest"
        ),
        pytest.param(
            image(1), Rule(needed_tags=frozenset({digest(1001).hex[:40]})), "still needed", id="needed by its tag"
        ),
    ],
)
def test_one_image(one: Stored, rule: Rule, why: str) -> None:
    (verdict,) = choose([one], rule, NOW)
    assert (verdict.why, verdict.goes) == (why, not why)


def test_the_newest_are_counted_among_ours_only() -> None:
    images = [image(number, age=DAY * number) for number in (4, 2, 3)]
    images += [image(9, age=DAY * 2, ours=False)]
    verdicts = choose(images, Rule(keep=1), NOW)
    assert [(int(one.image.reference.digest.hex, 16), one.goes) for one in verdicts] == [
        (4, True),
        (2, False),
        (3, True),
        (9, False),
    ]


def test_a_part_of_what_stays_stays() -> None:
    verdicts = choose([image(1, tags=("latest",), parts=(2,)), image(2)], Rule(), NOW)
    assert [one.why for one in verdicts] == ["tagged latest", "a part of another image that stays"]


ages = st.one_of(st.none(), st.timedeltas(min_value=-DAY, max_value=DAY * 400))
images = st.lists(
    st.builds(
        image,
        st.integers(0, 30),
        ages,
        st.sampled_from([None, (), ("latest",), ("a", "b")]),
        st.booleans(),
        st.lists(st.integers(0, 30), max_size=3).map(tuple),
    ),
    max_size=12,
    unique_by=lambda one: one.reference.digest,
)
rules = st.builds(
    Rule,
    older_than=st.timedeltas(min_value=timedelta(0), max_value=DAY * 100),
    keep=st.integers(0, 5),
    needed=st.frozensets(st.integers(0, 30).map(digest), max_size=3),
)


@given(images, rules)
def test_nothing_goes_that_is_young_foreign_needed_or_a_part_of_what_stays(found: list[Stored], rule: Rule) -> None:
    verdicts = choose(found, rule, NOW)
    assert [one.image for one in verdicts] == found
    staying = {part for one in verdicts if not one.goes for part in one.image.parts}
    for one in verdicts:
        if one.goes:
            assert one.image.spec_digest is not None
            assert one.image.created is not None
            assert NOW - one.image.created >= max(LEAST_AGE, rule.older_than)
            assert set(one.image.tags) <= {one.image.own_tag}
            assert one.image.reference.digest not in rule.needed | staying


@given(images, rules)
def test_keeping_more_never_removes_more(found: list[Stored], rule: Rule) -> None:
    more = Rule(older_than=rule.older_than, keep=rule.keep + 1, needed=rule.needed)
    fewer = {one.image.reference for one in choose(found, more, NOW) if one.goes}
    assert fewer <= {one.image.reference for one in choose(found, rule, NOW) if one.goes}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        pytest.param("2026-06-01T00:00:00Z", NOW, id="plain"),
        pytest.param("2026-06-01T02:00:00.123456789+02:00", NOW, id="nanoseconds and an offset"),
        pytest.param("2026-13-01T00:00:00Z", None, id="a month that is none"),
        pytest.param("2026-06-01", None, id="a day"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_moments(text: str, moment: datetime | None) -> None:
    assert parse_moment(text) == moment


def test_shared_layers_are_those_of_several_images() -> None:
    def holding(number: int, *blobs: int) -> Stored:
        layers = tuple(Descriptor(media_type="x", digest=digest(blob), size=blob) for blob in blobs)
        return Stored(reference=ImageReference(REPOSITORY, digest(number)), tags=(), blobs=layers)

    found = [holding(1, 10, 11, 11), holding(2, 10, 12), holding(3, 10)]
    assert shared(found) == {digest(10): 3}
    assert found[1].size == 22
