"""The encoding that feeds every digest: equal bytes mean equal plans."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builder.doubles import AMD64, ARM64

from flyte_build.builder.canonical import digest_of, encode
from flyte_build.builder.plan import CopyFiles, FileTree, LayersPlan, PipInstall, PlanFile, PlanLayer
from flyte_build.builder.spec import Apt, Commands, Env, PipOptions, SecretMount, User, Workdir
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.names import Digest

# Few and touching words, so that different plans are likely to meet in a weak encoding.
WORDS = st.sampled_from(["", "a", "b", "ab", "a b", "a,b", '"', '","', "\\", "\0", "[]", "null", "é", "☃", "kind"])
TEXTS = st.lists(WORDS, max_size=3).map(tuple)
MAYBE = st.none() | WORDS
DIGESTS = st.sampled_from([Digest("sha256", letter * 64) for letter in "ab"])
SECRETS = st.lists(st.builds(SecretMount, name=WORDS, env=MAYBE), max_size=2).map(tuple)
OPTIONS = st.builds(PipOptions, index_url=MAYBE, extra_index_urls=TEXTS, pre=st.booleans(), extra_args=WORDS)
FILES = st.builds(
    PlanFile,
    path=WORDS,
    executable=st.booleans(),
    sha256=st.sampled_from(["0" * 64, "1" * 64]),
    size=st.integers(0, 11),
    link=MAYBE,
)
TREES = st.builds(FileTree, files=st.lists(FILES, max_size=2).map(tuple), folders=TEXTS)
LAYERS: st.SearchStrategy[PlanLayer] = st.one_of(
    st.builds(Apt, packages=TEXTS, secrets=SECRETS),
    st.builds(Commands, commands=TEXTS, secrets=SECRETS),
    st.builds(Env, variables=st.lists(st.tuples(WORDS, WORDS), max_size=2).map(tuple)),
    st.builds(Workdir, path=WORDS),
    st.builds(User, name=WORDS),
    st.builds(PipInstall, packages=TEXTS, requirements=TEXTS, tree=TREES, options=OPTIONS, secrets=SECRETS),
    st.builds(CopyFiles, tree=TREES, to=WORDS, single=st.booleans(), owner=MAYBE),
)
PLANS = st.builds(
    LayersPlan,
    recipe=st.integers(1, 2),
    base=DIGESTS,
    python=MAYBE,
    platforms=st.sampled_from([(AMD64,), (ARM64,), (AMD64, ARM64)]),
    layers=st.lists(LAYERS, max_size=3).map(tuple),
)


@given(PLANS, PLANS)
def test_two_different_plans_never_encode_to_the_same_bytes(one: LayersPlan, other: LayersPlan) -> None:
    assert (encode(one) == encode(other)) == (one == other)


@given(LAYERS, LAYERS)
def test_two_different_layers_never_encode_to_the_same_bytes(one: PlanLayer, other: PlanLayer) -> None:
    assert (encode(one) == encode(other)) == (one == other)


@given(PLANS)
def test_the_encoding_is_canonical_json_in_utf_8(plan: LayersPlan) -> None:
    text = encode(plan).decode("utf-8")
    assert json.dumps(json.loads(text), ensure_ascii=False, sort_keys=True, separators=(",", ":")) == text


@given(PLANS)
def test_the_tag_is_the_first_forty_digits_of_the_digest(plan: LayersPlan) -> None:
    assert plan.spec_digest == digest_of(plan)
    assert plan.tag == plan.spec_digest.hex[:40]


@pytest.mark.parametrize(
    "value",
    [1.5, {"a"}, {"a": 1}, ["a"], b"a", object(), PlanFile],
    ids=["a float", "a set", "a mapping", "a list", "bytes", "an object", "a class"],
)
def test_what_has_no_place_in_a_plan_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="has no canonical encoding"):
        encode((value,))


def test_a_name_that_is_not_unicode_is_refused_with_where_it_stands() -> None:
    with pytest.raises(InvalidInput, match=r"not valid UTF-8 near .*caf\\udce9"):
        encode(Workdir(path="/caf\udce9"))


def test_variants_of_one_shape_are_told_apart_by_their_kind() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Untold:
        path: str

    assert encode(Untold(path="/a")) != encode(Workdir(path="/a"))
    assert json.loads(encode(Workdir(path="/a"))) == {"kind": "workdir", "path": "/a"}


def test_a_digest_changes_with_every_field_of_a_file() -> None:
    file = PlanFile(path="a", executable=False, sha256="0" * 64, size=1)
    changed = [
        replace(file, path="b"),
        replace(file, executable=True),
        replace(file, sha256="1" * 64),
        replace(file, size=2),
        replace(file, link="a"),
    ]
    assert len({digest_of(one) for one in (file, *changed)}) == 6
