"""The examples of the reference are layers of their kinds, right by every rule that needs no files."""

from __future__ import annotations

import sys

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from flyte_build.builder import check
from flyte_build.builder.sources import examples, schema, toml, toml_out
from flyte_build.builder.sources.toml_layers import KINDS
from flyte_build.builder.spec import ImageSpec, SecretMount

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read(text: str) -> ImageSpec:
    (spec,) = toml.parse(tomllib.loads(text), source="image.toml")
    return spec


def test_every_kind_has_an_example_and_every_other_key_is_in_one() -> None:
    assert tuple(examples.LAYERS) == tuple(KINDS)
    used = {key for layer in examples.LAYERS.values() for key in tomllib.loads(layer)}
    assert used == {*KINDS, *(key for kind in KINDS.values() for key in kind.keys)}


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_is_a_layer_of_its_kind(kind: str) -> None:
    assert kind in tomllib.loads(examples.LAYERS[kind])
    spec = read(f'name = "a"\npython = "3.12"\n[[layers]]{examples.LAYERS[kind]}')
    assert len(spec.layers) == 1
    assert check.spec(spec) == ()


def test_all_of_them_are_one_document_that_an_editor_and_the_parser_take() -> None:
    spec = read(examples.document())
    assert len(spec.layers) == len(KINDS)
    assert check.spec(spec) == ()
    Draft202012Validator(schema.schema()).validate(tomllib.loads(examples.document()))
    assert read(toml_out.format_specs((spec,))) == spec


def test_a_secret_with_a_group_is_shown_as_a_file_and_as_a_variable() -> None:
    mounts = [mount for layer in read(examples.document()).layers for mount in getattr(layer, "secrets", ())]
    assert SecretMount(name="pypi.token", env="UV_INDEX_ACME_PASSWORD") in mounts
    assert SecretMount(name="team.deploy-key") in mounts
