"""What the Action's command decides: words, places, tables, identities. Judged without GitHub."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from flyte_build.builder.buildx.docker import DockerEngine
from flyte_build.registry.errors import BuildFailed, FlyteBuildError, InvalidInput, InvalidSpec, Problem
from flyte_build.worker.cli.ci import ci
from flyte_build.worker.cli.image import image
from flyte_build.worker.github import commands
from flyte_build.worker.github.inputs import PREFIX, read_inputs
from flyte_build.worker.github.job import found_sources
from flyte_build.worker.github.locate import Place, locate, parts_of
from flyte_build.worker.github.runs import Heard
from flyte_build.worker.github.summary import Failure, Row, summary

ROOT = Path(__file__).parents[2]
TOML = 'name = "x"\n\n[[layers]]\napt = ["git"]\n\n[[layers]]\npip = [\n"six",\n"nosuch",\n]\npipp = 1\n'


def given(**inputs: str) -> dict[str, str]:
    return {f"{PREFIX}{name.upper()}": value for name, value in inputs.items()}


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        pytest.param({"registry": "r.example/a"}, "--registry r.example/a", id="the registry"),
        pytest.param({"tags": "a\n b\n\n"}, "--tag a --tag b", id="every tag, one a line"),
        pytest.param({"platforms": "linux/amd64,linux/arm64"}, "--platform linux/arm64", id="platforms with commas"),
        pytest.param({"secrets": "id=A,env=B"}, "--secret id=A,env=B", id="secrets keep their comma"),
        pytest.param({"locked": "true"}, "--locked", id="the lock"),
        pytest.param({"endpoint": "https://e"}, "--engine remote --endpoint https://e", id="a remote endpoint"),
        pytest.param({"mode": "build-only"}, "--no-push", id="no push"),
        pytest.param(
            {"cache": "gha"}, "--cache-to type=gha,scope={name},mode=max", id="GitHub's cache, for each image"
        ),
        pytest.param({"sign": "awskms:///alias/x", "tlog": "false"}, "--sign awskms:///alias/x --no-tlog", id="a key"),
        pytest.param({"sbom": "no", "provenance": "true"}, "--no-sbom --provenance", id="what is attached"),
        pytest.param({"arguments": "--compression\ngzip"}, "--compression gzip", id="more flags, one word a line"),
    ],
)
def test_an_input_becomes_words_of_the_command(inputs: dict[str, str], words: str) -> None:
    assert words in " ".join(read_inputs(given(sources="a.toml", **inputs)).build_argv(why=True))


@pytest.mark.parametrize("mode", ["build", "build-only"])
def test_the_words_are_flags_that_the_command_knows(mode: str) -> None:
    asked = given(sign="cosign.key", tlog="1", sbom="0", provenance="0")
    asked |= given(mode=mode, cache="registry", locked="1", tags="a", platforms="linux/arm64", secrets="id=A,env=B")
    inputs = read_inputs(asked | given(sources="image.toml", registry="r.example/a", builder="b"))
    for argv in (inputs.check_argv(), inputs.build_argv(why=True, builder="x")):
        image.make_context("image", list(argv))


def test_a_check_has_no_word_that_builds_or_needs_a_secret() -> None:
    inputs = read_inputs(given(sources="a.toml", tags="x", secrets="id=A,env=B", cache="gha", locked="true", sign="k"))
    assert inputs.check_argv() == ("a.toml", "--locked", "--check", "--json")


def test_a_build_that_is_not_pushed_writes_no_cache() -> None:
    assert "--cache-to" not in read_inputs(given(mode="build-only", cache="registry")).build_argv(why=False)


def test_a_build_that_is_not_pushed_is_not_signed() -> None:
    assert "--sign" not in read_inputs(given(mode="build-only", sign="k")).build_argv(why=False)


@pytest.mark.parametrize("inputs", [{"mode": "bild"}, {"cache": "s3"}, {"locked": "perhaps"}, {"sbom": "perhaps"}])
def test_a_value_that_means_nothing_is_refused_with_those_that_do(inputs: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="of the action is") as refused:
        read_inputs(given(**inputs))
    assert refused.value.hint.startswith("give ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("cache", "gha"), ("secrets", "id=A,env=B"), ("builder", "b"), ("mode", "build-only"), ("sign", "keyless")),
        *(("signing-key", "k"), ("tlog", "true"), ("sbom", "true"), ("provenance", "true")),
    ],
)
def test_what_a_build_service_has_of_its_own_is_refused_with_an_endpoint(name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=f"'{name}' of the action does not go with 'endpoint'"):
        read_inputs(given(endpoint="https://e") | given(**{name.replace("-", "_"): value}))


def test_a_check_asks_where_the_service_would_put_it() -> None:
    assert "--engine remote" in " ".join(read_inputs(given(endpoint="https://e", mode="check")).check_argv())


def test_every_input_of_the_action_reaches_the_command_and_is_described() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    used = json.dumps(action["runs"])
    for name, entry in action["inputs"].items():
        assert f"inputs.{name}" in used
        assert entry["description"].strip()
        assert "default" in entry
    for step in action["runs"]["steps"]:
        assert "${{" not in step.get("run", "")  # an input in a script would be a command
        assert "@" not in step.get("uses", "") or len(step["uses"].rpartition("@")[2]) == 40


@pytest.mark.parametrize(
    ("error", "line"),
    [
        pytest.param(
            InvalidSpec("a/image.toml", (Problem("layers[1].pipp", "no"),)), 11, id="a key of the second layer"
        ),
        pytest.param(InvalidSpec("a/image.toml", (Problem("name", "no"),)), 1, id="a key of the image"),
        pytest.param(InvalidSpec("a/image.toml", (Problem("layers[1].copy", "no"),)), 6, id="a layer without the key"),
        pytest.param(
            BuildFailed("x", step="pip packages: six nosuch", log=("nosuch was not found",)), 9, id="a failed package"
        ),
        pytest.param(BuildFailed("x", step="apt packages: git"), 4, id="a failed step without a log"),
    ],
)
def test_an_error_is_found_in_its_source(error: FlyteBuildError, line: int) -> None:
    assert locate(error, {"a/image.toml": TOML}) == Place(file="a/image.toml", line=line)


DOCKERFILE = "FROM x\nRUN a\n# why\nRUN b && \\\n  # and why\n    c\nUSER me\n"


@pytest.mark.parametrize(
    ("step", "line"),
    [("[2/4] RUN a", 2), ("[linux/arm64 build 3/4] RUN b &&     c", 4), ("[4/4] RUN d", 0), ("[internal] load", 0)],
)
def test_a_failed_instruction_is_found_in_its_dockerfile(step: str, line: int) -> None:
    found = locate(BuildFailed("x", step=step), {"a/x.Dockerfile": DOCKERFILE})
    assert found == (Place(file="a/x.Dockerfile", line=line) if line else None)


def test_a_failed_requirement_is_found_in_its_list() -> None:
    listed = "--index-url https://x\n# nosuch\nsix\nNoSuch[a]>=1\n"
    error = BuildFailed("x", step="requirements: needs.txt", log=("Because nosuch was not found", "six-pack"))
    assert locate(error, {"image.toml": TOML, "a/needs.txt": listed}) == Place(file="a/needs.txt", line=4)


def test_every_problem_is_shown_at_its_own_line() -> None:
    problems = (Problem("layers[0].apt", "no"), Problem("layers[1].pipp", "no"))
    places = [locate(part, {"image.toml": TOML}) for part in parts_of(InvalidSpec("image.toml", problems))]
    assert [place.line for place in places if place] == [4, 11]


@pytest.mark.parametrize(
    ("error", "place"),
    [
        (InvalidInput("train.py is not TOML: Illegal (at line 2, column 1)"), Place(file="src/train.py", line=2)),
        (InvalidInput("train.py failed to load: train.py:3: NameError: x"), Place(file="src/train.py", line=3)),
        (InvalidInput("train.py failed to load: other.py:3: NameError: x"), None),
        (BuildFailed("x", step="exporting to image"), None),
        (InvalidInput("something else"), None),
    ],
)
def test_an_error_of_python_names_its_line_and_others_none(error: FlyteBuildError, place: Place | None) -> None:
    assert locate(error, {"src/train.py": "a\nb\nc\n"}) == place


def test_an_annotation_cannot_be_broken_out_of() -> None:
    said = commands.annotation("error", "a\n::error::b%", title="x,y:z", file="a:b.py", line=2)
    assert said == "::error title=x%2Cy%3Az,file=a%3Ab.py,line=2::a%0A::error::b%25"


def test_an_output_cannot_be_ended_by_its_value() -> None:
    first, *middle, last = commands.output("x", "1\nEOF\nreference<<y").splitlines()
    assert first.removeprefix("x<<") == last
    assert middle == ["1", "EOF", "reference<<y"]
    assert commands.output("x", "1") != commands.output("x", "1")


def test_the_summary_is_one_row_an_image_and_shows_markup_as_text() -> None:
    row = Row(name="a|b", status="built", pinned="r/a@sha256:1", size=3 << 20, cached=1, steps=4, seconds=2.04)
    failure = Failure(sentence="no `x`", hint="do *y*", log=("```", "| z"))
    text = summary([replace(row, why="<b>\n*x*")], failure=failure)
    assert r"| **a\|b** built | `r/a@sha256:1` | 3.0 MiB | 1 of 4 | 2.0 s | - | &lt;b&gt;<br>\*x\* |" in text
    assert text.endswith("**Failed**: no \\`x\\`\n\nWhat to do: do \\*y\\*\n\n    ```\n    | z\n\n")


def test_cache_hits_count_steps_that_were_asked_for_only() -> None:
    heard = Heard()
    for title, cached in (
        ("base image", True),
        ("image a.test/b:1", True),
        ("[context a.test/b:1] load metadata for a.test/b", False),
        ("pip packages: six", True),
        ("command: x", False),
        ("exporting to", False),
        ("listing what is installed", False),
        ("signing the image", False),
    ):
        heard.hear(json.dumps({"event": "StepEnded", "title": title, "seconds": 1.0, "cached": cached, "error": ""}))
    heard.hear(json.dumps({"event": "SomethingNew", "x": 1}))
    assert (heard.cached[""], heard.steps[""]) == (1, 2)
    assert heard.hear(json.dumps({"event": "Note", "text": "it is tried again"})) == "it is tried again"
    assert heard.hear("why a: since") == "why a: since"
    assert heard.why["a"] == ["since"]


def test_sources_are_found_where_none_are_given(tmp_path: Path) -> None:
    for place in ("b", "a/deep", ".venv", "node_modules/x"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "image.toml").touch()
    assert found_sources(tmp_path) == [f"{tmp_path}/a/deep/image.toml", f"{tmp_path}/b/image.toml"]
    with pytest.raises(InvalidInput, match="no sources were given"):
        found_sources(tmp_path / "a/deep/nothing")


@pytest.mark.parametrize(
    ("stores", "driver", "cache", "platforms", "needed"),
    [
        (False, "docker", True, 1, True),
        (False, "docker", False, 2, True),
        (False, "docker", False, 1, False),
        (True, "docker", True, 2, False),
        (False, "docker-container", True, 2, False),
    ],
)
def test_a_builder_is_made_only_where_the_engine_can_do_less(
    stores: bool, driver: str, cache: bool, platforms: int, needed: bool
) -> None:
    engine = DockerEngine(command=("docker",), server="28", buildx=(0, 20, 0), driver=driver, stores_images=stores)
    assert engine.falls_short(cache=cache, platforms=platforms) is needed


def test_what_fails_is_annotated_and_in_the_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "image.toml").write_text(TOML, encoding="utf-8")
    for name, value in given(sources="image.toml", registry="r.example/a", working_directory=str(tmp_path)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("FLYTE_BUILD_REGISTRY_PASSWORD", "hush-hush")
    done = CliRunner().invoke(ci)
    assert done.exit_code == 1
    assert "::add-mask::hush-hush" in done.output
    assert "::error title=flyte-build,file=image.toml,line=11::image.toml: layers[1].pipp: is not known" in done.output
    assert "**Failed**" in (tmp_path / "GITHUB_STEP_SUMMARY").read_text(encoding="utf-8")
    assert "built<<" in (tmp_path / "GITHUB_OUTPUT").read_text(encoding="utf-8")


def test_who_has_no_registry_is_told_of_the_input_and_not_of_a_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "image.toml").write_text('name = "x"\n', encoding="utf-8")
    for name, value in given(sources="image.toml", working_directory=str(tmp_path)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLYTE_BUILD_REGISTRY", raising=False)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    done = CliRunner().invoke(ci)
    assert done.exit_code == 1
    for told in (done.output, (tmp_path / "summary").read_text(encoding="utf-8").replace("\\", "")):
        assert "has no registry to go to" in told
        assert "give the input `registry` of the action, set FLYTE_BUILD_REGISTRY" in told
        assert "--registry" not in told
