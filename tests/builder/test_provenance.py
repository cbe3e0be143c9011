"""Provenance: what SLSA and in-toto want to be there, and nothing that is nobody's business."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.builder.doubles import image, resolved, write

from flyte_build.builder.loose import format_json
from flyte_build.builder.plan import plan
from flyte_build.builder.provenance import (
    BUILD_TYPE,
    BUILDER_CLI,
    PREDICATE_TYPE,
    Execution,
    Inputs,
    Source,
    predicate_of,
    read_statement,
    statement_of,
)
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.names import ImageReference, Repository, Target

IMAGE = ImageReference.parse(f"ghcr.io/acme/train@sha256:{'a' * 64}")
PART = replace(IMAGE, digest=replace(IMAGE.digest, hex="b" * 64))
EXECUTION = Execution(
    builder=BUILDER_CLI, version="0.1.0", started="2026-11-29T12:00:00Z", finished="2026-11-29T12:01:00Z"
)


def inputs(folder: Path, files: int = 2) -> Inputs:
    write(folder, {f"src/{number}.py": str(number) for number in range(files)})
    spec = image().with_copy("src", to="/app").with_commands("echo c4nary", secrets=()).with_env({"K": "c4nary"})
    found = resolved(spec, folder)
    return Inputs(plan=plan(found), target=Target(Repository.parse("ghcr.io/acme/train")), images=(found.base,))


def test_a_statement_says_what_was_asked_what_went_in_and_who_built(tmp_path: Path) -> None:
    given = inputs(tmp_path)
    statement = read_statement(statement_of((IMAGE, PART), predicate_of(given, EXECUTION)))
    assert statement.subjects == {"a" * 64, "b" * 64}
    assert (statement.predicate_type, statement.build_type, statement.builder) == (
        PREDICATE_TYPE,
        BUILD_TYPE,
        BUILDER_CLI,
    )
    assert statement.asked == {
        "specDigest": str(given.plan.spec_digest),
        "target": "ghcr.io/acme/train",
        "platforms": ["linux/amd64"],
        "recipe": given.plan.recipe,
    }
    files = {file.sha256 for tree in given.plan.trees() for file in tree.files}
    assert statement.materials == {given.images[0].digest.hex, *files}
    assert statement.predicate["runDetails"] == {
        "builder": {"id": BUILDER_CLI, "version": {"flyte-build": "0.1.0"}},
        "metadata": {"startedOn": "2026-11-29T12:00:00Z", "finishedOn": "2026-11-29T12:01:00Z"},
    }


def test_texts_of_steps_values_and_places_of_this_machine_are_not_in_it(tmp_path: Path) -> None:
    source = Source(url="https://user:c4nary@git.example/a?token=c4nary#c4nary", revision="1" * 40)
    text = format_json(predicate_of(replace(inputs(tmp_path), source=source), EXECUTION)).decode()
    assert '"uri":"git+https://git.example/a"' in text
    assert [word for word in ("c4nary", str(tmp_path), "user") if word in text] == []


def test_of_many_files_the_digest_of_their_tree_stands_for_all(tmp_path: Path) -> None:
    given = inputs(tmp_path, files=1001)
    (tree,) = given.plan.trees()
    found = json.loads(format_json(predicate_of(given, EXECUTION)))["buildDefinition"]["resolvedDependencies"]
    assert found[1:] == [
        {
            "name": "files",
            "digest": {"sha256": tree.digest.hex},
            "annotations": {"files": "1001", "encoding": "canonical, as in the plan"},
        }
    ]


def test_equal_builds_say_the_same(tmp_path: Path) -> None:
    one, other = inputs(tmp_path / "a"), inputs(tmp_path / "b")
    assert predicate_of(one, EXECUTION) == predicate_of(other, EXECUTION)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "3",
        '{"_type": "https://in-toto.io/Statement/v1"}',
        '{"_type": "x", "subject": [{"digest": {"sha256": "a"}}]}',
    ],
)
def test_what_is_no_statement_is_an_error_and_no_traceback(content: str) -> None:
    with pytest.raises(InvalidInput):
        read_statement(content)


def test_a_statement_of_hostile_shape_says_nothing() -> None:
    document = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [3, {"digest": {"sha256": "aa"}}, {"digest": "x"}],
        "predicate": {"buildDefinition": [], "runDetails": {"builder": 4}},
    }
    statement = read_statement(json.dumps(document))
    assert statement.subjects == {"aa"}
    assert (statement.asked, statement.build_type, statement.builder) == ({}, "", "")
