"""The published JSON Schema of image.toml is current, and says about documents what the parser says."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from flyte_build.builder.sources import toml
from flyte_build.builder.sources.schema import schema, schema_text
from flyte_build.builder.sources.toml_layers import KINDS
from flyte_build.registry.errors import InvalidSpec

VALIDATOR = Draft202012Validator(schema())
TEXT = st.sampled_from(["a", "b/c", "dependencies", "project"])
VALUES: st.SearchStrategy[Any] = st.one_of(
    TEXT,
    st.just(""),
    st.booleans(),
    st.integers(0, 1),
    st.lists(TEXT | st.integers(0, 1), max_size=2),
    st.dictionaries(st.sampled_from(["name", "env", "x"]), TEXT | st.integers(0, 1), max_size=2),
    st.lists(st.dictionaries(st.sampled_from(["name", "env", "x"]), TEXT, max_size=2), max_size=1),
)
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXT,
    "texts": st.lists(TEXT, max_size=2),
    "flag": st.booleans(),
    "text_table": st.dictionaries(TEXT, TEXT, max_size=2),
    "secrets": st.lists(TEXT | st.fixed_dictionaries({"name": TEXT}, optional={"env": TEXT}), max_size=2),
    "install": st.sampled_from(["dependencies", "project"]),
}


@st.composite
def layers(draw: st.DrawFn) -> dict[str, Any]:
    """A layer, mostly right."""
    name = draw(st.sampled_from(sorted(KINDS)))
    kind = KINDS[name]
    types = {**kind.keys, name: kind.value}
    keys = {name, *kind.required, *draw(st.sets(st.sampled_from(sorted(types)), max_size=2))}
    if draw(st.integers(0, 9)) == 0:
        keys = draw(st.sets(st.sampled_from([*sorted(types), "pip", "xyzzy"]), max_size=3))
    wrong = draw(st.sampled_from([None, None, None, *sorted(keys)]))
    return {key: draw(VALUES if key == wrong or key not in types else GOOD[types[key]]) for key in sorted(keys)}


IMAGES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["a", "a", "a", "", 1]),
        "base": TEXT | st.booleans(),
        "dockerignore": TEXT,
        "platforms": st.lists(st.just("linux/amd64"), max_size=1) | st.just("x"),
        "layers": st.lists(layers(), max_size=2) | st.just({}),
        "xyzzy": st.just(1),
    },
).map(lambda image: {"name": "a", **image})
DOCUMENTS = IMAGES | st.fixed_dictionaries({"images": st.lists(IMAGES, max_size=1) | st.just(1)})


def parses(document: dict[str, Any]) -> bool:
    try:
        toml.parse(document, source="image.toml")
    except InvalidSpec:
        return False
    return True


def test_the_published_schema_is_current() -> None:
    published = (resources.files("flyte_build.builder.sources") / "image.schema.json").read_text()
    assert published == schema_text(), "run: python -m flyte_build.builder.sources.schema"
    Draft202012Validator.check_schema(json.loads(published))


@given(DOCUMENTS)
def test_schema_and_parser_agree(document: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(document) == parses(document)


def test_every_kind_of_layer_has_a_key() -> None:
    from typing import get_args

    from flyte_build.builder.spec import Layer

    assert {kind.kind for kind in get_args(Layer)} == set(KINDS)
