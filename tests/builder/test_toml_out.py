"""A spec as an `image.toml`, and back."""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from tests.builder.specs import SPECS

from flyte_build.builder.sources.toml import parse
from flyte_build.builder.sources.toml_layers import KINDS
from flyte_build.builder.sources.toml_out import _MAIN, format_specs
from flyte_build.builder.spec import Copy, ImageSpec, Layer, SecretMount

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

WRITTEN = """name = "train"
registry = "ghcr.io/acme"
platforms = ["linux/arm64"]

[[layers]]
apt = ["git"]

[[layers]]
commands = ["echo \\"$A\\""]
secrets = ["plain", {"env" = "TOKEN", "name" = "token"}]

[[layers]]
env = {"A" = "1\\\\$"}

[[layers]]
copy = "src"
to = "/app"
contents = true
"""


def test_it_is_what_a_person_would_write() -> None:
    (spec,) = parse(tomllib.loads(WRITTEN), source="x")
    assert spec.layers[1].secrets == (SecretMount(name="plain"), SecretMount(name="token", env="TOKEN"))  # type: ignore[union-attr]
    assert spec.layers[3] == Copy(source="src", to="/app", contents=True)
    assert format_specs((spec,)) == WRITTEN


@given(SPECS)
def test_a_spec_that_was_written_is_read_as_it_was(spec: ImageSpec) -> None:
    assert parse(tomllib.loads(format_specs((spec,))), source="x") == (spec,)


@given(st.lists(SPECS, min_size=2, max_size=3, unique_by=lambda spec: spec.name).map(tuple))
def test_so_are_several(specs: tuple[ImageSpec, ...]) -> None:
    assert parse(tomllib.loads(format_specs(specs)), source="x") == specs


def test_every_kind_of_layer_can_be_written_and_read() -> None:
    kinds = {kind.kind: kind for kind in get_args(Layer)}
    assert set(kinds) == set(_MAIN) == set(KINDS)
    assert all(_MAIN[name] in {field.name for field in fields(kind)} for name, kind in kinds.items())
