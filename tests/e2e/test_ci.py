"""What the Action says when something is wrong, as GitHub would get it: `flyte-build ci` with a real engine."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import Done, run

pytestmark = pytest.mark.real


def ci(folder: Path, **inputs: str) -> Done:
    """Runs it in `folder`; outputs and summary go there."""
    env = {f"FLYTE_BUILD_ACTION_{name.upper()}": value for name, value in inputs.items()}
    files = {name: str(folder / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    return run("flyte-build", "ci", cwd=folder, env=env | files | {"GITHUB_WORKSPACE": str(folder)})


def image(parts: Parts, name: str, command: str, *, layers: str = "layers") -> str:
    head = f'name = "{name}"\nbase = "{parts.base}"\npython = "{parts.python}"\n'
    return f"{head}[[{layers}]]\ncommands = ['{command}']\n"


def test_of_several_images_those_before_the_failure_are_told_as_built(tmp_path: Path, parts: Parts, where: str) -> None:
    commands = {"one": "true", "two": "echo ::error::mine; exit 3", "three": "true"}
    texts = [f"[[images]]\n{image(parts, name, said, layers='images.layers')}" for name, said in commands.items()]
    (tmp_path / "image.toml").write_text("".join(texts), encoding="utf-8")
    done = ci(tmp_path, registry=where)
    assert done.code == 1, done.out + done.err
    assert "::error title=flyte-build,file=image.toml,line=12::the step «command:" in done.out
    summary = (tmp_path / "GITHUB_STEP_SUMMARY").read_text(encoding="utf-8")
    for name, status in (("one", "built"), ("two", "failed"), ("three", "missing")):
        assert re.search(rf"^\| \*\*{name}\*\* {status} \|", summary, re.MULTILINE), summary
    assert "\n    ::error::mine\n" in summary
    outputs = (tmp_path / "GITHUB_OUTPUT").read_text(encoding="utf-8")
    document = json.loads(next(line for line in outputs.splitlines() if line.startswith("{")))
    assert [one["status"] for one in document["images"]] == ["built", "missing", "missing"]
    assert re.search(r"^built<<(\S+)\ntrue\n\1$", outputs, re.MULTILINE)
    # A line of a build is a command to GitHub only where it stands outside of the two words.
    word = re.search(r"^::stop-commands::(\S+)$", done.out, re.MULTILINE)
    assert word
    assert done.out.index("::error::mine") > word.end()
    assert done.out.index("::error::mine") < done.out.index(f"::{word[1]}::")


def test_a_failed_instruction_is_annotated_in_the_dockerfile(tmp_path: Path, parts: Parts, where: str) -> None:
    text = f"FROM {parts.base}\nRUN true\nRUN echo x && \\\n    false\n"
    (tmp_path / "x.Dockerfile").write_text(text, encoding="utf-8")
    done = ci(tmp_path, registry=where, sources="x.Dockerfile")
    assert "::error title=flyte-build,file=x.Dockerfile,line=3::" in done.out, done.out + done.err


def test_a_missing_requirement_is_annotated_in_its_list(tmp_path: Path, parts: Parts, where: str) -> None:
    text = f'name = "x"\nbase = "{parts.base}"\npython = "{parts.python}"\n[[layers]]\nrequirements = "needs.txt"\n'
    (tmp_path / "image.toml").write_text(text, encoding="utf-8")
    (tmp_path / "needs.txt").write_text("# all\nsix\nflyte-build-no-such==1\n", encoding="utf-8")
    done = ci(tmp_path, registry=where)
    assert "::error title=flyte-build,file=needs.txt,line=3::" in done.out, done.out + done.err


def test_a_flag_that_cannot_be_is_annotated_too(tmp_path: Path, parts: Parts, where: str) -> None:
    (tmp_path / "image.toml").write_text(image(parts, "x", "true"), encoding="utf-8")
    done = ci(tmp_path, registry=where, platforms="linux/abacus")
    assert done.code == 2
    assert "::error title=flyte-build::--platform 'linux/abacus': images for linux/abacus cannot be built" in done.out
    assert "linux/abacus" in (tmp_path / "GITHUB_STEP_SUMMARY").read_text(encoding="utf-8")


@pytest.mark.parametrize(("fails", "code"), [("false", 0), ("true", 3)])
def test_a_check_says_what_is_missing_and_builds_nothing(
    tmp_path: Path, parts: Parts, where: str, fails: str, code: int
) -> None:
    (tmp_path / "image.toml").write_text(image(parts, "x", "true"), encoding="utf-8")
    done = ci(tmp_path, registry=where, mode="check", fail_if_missing=fails)
    assert done.code == code, done.out + done.err
    assert "::notice title=flyte-build::the image x does not exist yet" in done.out
    outputs = (tmp_path / "GITHUB_OUTPUT").read_text(encoding="utf-8")
    assert re.search(r"^missing<<(\S+)\ntrue\n\1$", outputs, re.MULTILINE)
    assert run("crane", "ls", f"{where}/x").code != 0


def test_without_sources_and_without_an_image_toml_it_says_what_to_give(tmp_path: Path, where: str) -> None:
    done = ci(tmp_path, registry=where)
    assert done.code == 1
    assert "::error title=flyte-build::the repository has no image.toml, and no sources were given" in done.out
    assert "%0Awhat to do: give the input `sources`" in done.out
