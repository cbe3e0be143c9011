"""What a Dockerfile takes: read by rows, and by the names of images made from Dockerfiles."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builder.doubles import AMD64, ARM64, planned, resolved, write

from flyte_build.builder import dockerfile
from flyte_build.builder.dockerfile_lines import without_frontend
from flyte_build.builder.dockerfile_source import read_dockerfile
from flyte_build.builder.spec import ImageSpec
from flyte_build.registry.errors import InvalidInput, InvalidSpec

ROWS: list[tuple[str, str, list[str], list[str]]] = [
    ("one image", "FROM a:1", ["a:1"], []),
    ("a stage by name is no image", "FROM a AS One\nFROM one\nCOPY --from=ONE x /", ["a"], []),
    ("a stage by number", "FROM a\nFROM b\nCOPY --from=0 x /", ["a", "b"], []),
    ("scratch", "FROM a AS s\nFROM scratch\nCOPY --from=s / /", ["a"], []),
    ("an image of a COPY", "FROM a\nCOPY --from=b/c:2 x /", ["a", "b/c:2"], []),
    ("an image of a mount", "FROM a\nRUN --mount=from=b,target=/x ls", ["a", "b"], []),
    ("variables", "ARG V=3\nARG I=py:${V}-slim\nFROM $I\nFROM ${X:-b}\nFROM c${V:+d}", ["b", "cd", "py:3-slim"], []),
    ("a quoted default", 'ARG V="3"\nFROM a:$V', ["a:3"], []),
    ("an ARG of a stage is none of FROM", "FROM a AS x\nARG V=1\nFROM x", ["a"], []),
    ("lower case", "from a\ncopy x /", ["a"], ["x"]),
    ("sources", "FROM a\nCOPY --chown=1 x ./y/ /z\nADD --chmod=644 w /", ["a"], ["w", "x", "y"]),
    ("a JSON form", 'FROM a\nCOPY ["x y", "/z"]', ["a"], ["x y"]),
    ("everything", "FROM a\nCOPY . /\nCOPY x /", ["a"], ["."]),
    ("a variable among sources is everything", "FROM a\nCOPY $X /", ["a"], ["."]),
    ("what is not of the context", "FROM a\nADD https://x.test/y git@x.test:y /", ["a"], []),
    ("bind mounts", "FROM a\nRUN --mount=type=bind,source=x,target=/y --mount=type=cache,target=/c ls", ["a"], ["x"]),
    ("a bind mount of everything", "FROM a\nRUN --mount=target=/y ls", ["a"], ["."]),
    ("continued lines", "FROM a\nCOPY x \\\n  # not this\n\n  y \\\n  /z", ["a"], ["x", "y"]),
    ("another escape", "# escape=`\nFROM a\nCOPY x `\n  y /", ["a"], ["x", "y"]),
    ("here-documents", "FROM a\nRUN <<E\nCOPY q /\nE\nCOPY <<-'F' x /d\n\tCOPY r /\n\tF\nCOPY s /", ["a"], ["s", "x"]),
    ("a shell's here-string", "FROM a\nRUN cat <<<x\nCOPY s /", ["a"], ["s"]),
    ("comments", "# FROM x\nFROM a\n#COPY b /", ["a"], []),
]


@pytest.mark.parametrize(("text", "images", "paths"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_takes(text: str, images: list[str], paths: list[str]) -> None:
    found = read_dockerfile(text)
    assert [name for name, _ in found.images] == images
    assert list(found.paths) == paths


WRONG = [
    ("nothing", "", "takes nothing from any image"),
    ("an unknown variable", "FROM $X", "line 1 of the Dockerfile takes $X, which has no value"),
    ("no FROM", "FROM a b", "line 1 of the Dockerfile is no FROM"),
    ("an end within an instruction", "FROM a\nRUN x \\\n", "ends within the instruction of line 2"),
    ("an open here-document", "FROM a\nRUN <<E\nx", "the here-document E of the Dockerfile is not ended"),
]


@pytest.mark.parametrize(("text", "said"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_is_wrong_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_dockerfile(text)
    assert said in caught.value.sentence


@pytest.mark.parametrize("value", ["docker/dockerfile:1", "docker/dockerfile:1.10", "docker.io/docker/dockerfile"])
def test_the_frontend_that_is_built_in_is_not_pulled(value: str) -> None:
    assert without_frontend(f"# escape=`\n#syntax={value}\nFROM a\n") == "# escape=`\nFROM a\n"


@pytest.mark.parametrize("value", ["docker/dockerfile:1-labs", "evil.test/x", "docker/dockerfile-upstream:master"])
def test_another_frontend_is_refused(value: str) -> None:
    with pytest.raises(InvalidInput, match="wants the frontend"):
        without_frontend(f"# syntax={value}\nFROM a\n")


@given(st.text(st.sampled_from("FROMCPY a\\\n#<E=$-{}[\"'."), max_size=60))
def test_no_text_raises_anything_but_a_sentence(text: str) -> None:
    with suppress(InvalidInput):
        read_dockerfile("FROM a\n" + text)


SPEC = ImageSpec(name="image", dockerfile="Dockerfile")
FILES = {
    "Dockerfile": "FROM a:1\nCOPY src /src\n",
    "src/x.py": "1",
    "src/junk": "j",
    "other": "o",
    ".dockerignore": "*/junk",
}


def edit(files: dict[str, str]) -> Callable[[Path], object]:
    return lambda root: write(root, files)


CHANGES = [
    ("the Dockerfile", True, edit({"Dockerfile": "FROM a:1\nCOPY src /srv\n"})),
    ("a file that it copies", True, edit({"src/x.py": "2"})),
    ("one more file that it copies", True, edit({"src/y.py": ""})),
    ("a mode", True, lambda root: (root / "src/x.py").chmod(0o755)),
    ("the dockerignore", True, edit({".dockerignore": ""})),
    ("a file that it does not copy", False, edit({"other": "p"})),
    ("a file that the dockerignore leaves out", False, edit({"src/junk": "k"})),
    ("junk", False, edit({"src/__pycache__/x.pyc": "k"})),
]


@pytest.mark.parametrize(("counts", "change"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_its_name_changes_with_what_it_takes(tmp_path: Path, counts: bool, change: Callable[[Path], object]) -> None:
    before = planned(SPEC, write(tmp_path, FILES)).tag
    change(tmp_path)
    assert (planned(SPEC, tmp_path).tag != before) == counts


def test_platforms_and_images_count_and_the_place_does_not(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one", FILES), write(tmp_path / "other", FILES)
    assert planned(SPEC, one).tag == planned(SPEC, other).tag
    both = ImageSpec(name="image", dockerfile="Dockerfile", platforms=(AMD64, ARM64))
    assert planned(both, one).tag != planned(SPEC, one).tag


def test_every_image_is_handed_over_by_digest(tmp_path: Path) -> None:
    text = "FROM a:1 AS x\nFROM registry.test/b:2\nCOPY --from=x /y /\n"
    found = resolved(SPEC, write(tmp_path, {"Dockerfile": text}))
    assert found.dockerfile is not None
    named = dockerfile.named_images(planned(SPEC, tmp_path))
    assert sorted(named) == ["a:1", "registry.test/b:2"]
    assert all(digest in found.context.images for digest in named.values())


def test_a_dockerfile_takes_no_layers(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec) as caught:
        planned(ImageSpec(name="a", base="b", dockerfile="gone").with_pip("x"), tmp_path)
    assert [problem.path for problem in caught.value.problems] == ["base", "layers", "dockerfile"]
