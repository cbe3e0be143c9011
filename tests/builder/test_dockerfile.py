"""The Dockerfile of a plan, against files that were read and approved: FLYTE_BUILD_REGENERATE=1 writes them anew."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builder import trees
from tests.builder.doubles import AMD64, ARM64, image, resolved, write

from flyte_build.builder import dockerfile, quoting
from flyte_build.builder.plan import plan
from flyte_build.builder.spec import (
    Apt,
    Copy,
    ImageSpec,
    Layer,
    PipOptions,
    PixiProject,
    PixiScript,
    PoetryProject,
    Requirements,
    SecretMount,
    UvProject,
)

GOLDEN = Path(__file__).parent / "golden"
FILES = {
    "requirements.txt": "-c pins.txt\nhttpx",
    "pins.txt": "httpx<1",
    "src/app/main.py": "",
    "src/run.sh": "",
    **{f"uv/{name}": text for name, text in trees.WORKSPACE.items()},
    "uv/uv.lock": trees.LOCK,
    "loose/pyproject.toml": "[project]\nname = 'a'\nversion = '1'\ndependencies = ['six']\n",
    "dist/member-1.0-py3-none-any.whl": "wheel",
    "poetry/pyproject.toml": trees.POETRY["pyproject.toml"],
    "poetry/poetry.lock": trees.POETRY_LOCK,
    "pixi/pixi.toml": "[workspace]\n",
    "script.py": "# /// script\n# dependencies = ['idna', 'app @ file://uv']\n# [tool.uv]\n"
    "# exclude-newer = '2026-01-01T00:00:00Z'\n# ///\n",
    "pixi.py": "# /// script\n# dependencies = ['idna']\n# [tool.pixi.workspace]\n"
    "# channels = ['conda-forge']\n# ///\n",
    "Dockerfile": "# syntax=docker/dockerfile:1\nFROM a:1\nCOPY src /src\n",
}
TOKEN = SecretMount(name="token", env="TOKEN")
SPECS: dict[str, ImageSpec] = {
    "nothing": image(),
    "every-layer": image(platforms=(AMD64, ARM64))
    .with_apt("git", "curl=7.88.1-10+deb12u5")
    .with_layer(Requirements(file="requirements.txt", secrets=(SecretMount(name="plain"), TOKEN)))
    .with_pip(
        "numpy>=2",
        'httpx; python_version < "3.13"',
        options=PipOptions(
            index_url="https://a.test/simple",
            extra_index_urls=("https://b.test/simple",),
            pre=True,
            extra_args="--no-deps --config-settings 'a=b c'",
        ),
    )
    .with_env({"GREETING": 'say "hi" to $USER', "ASIDE": "\\$5 \\ a"})
    .with_commands("make", 'cat > /etc/x <<EOF\n# "$HOME"\nEOF', secrets=(TOKEN,))
    .with_workdir('/a "b"')
    .with_copy("src", to="/app")
    .with_copy("src", to=".", contents=True)
    .with_copy("src/run.sh", to="/usr/bin/run")
    .with_copy("src/run.sh", to="/bin/")
    .with_layer(Copy(source="pins.txt", to="/opt/it's", owner="flyte:users"))
    .with_user("flyte"),
    "projects": image()
    .with_layer(UvProject(project="uv", install="project", secrets=(TOKEN,)))
    .with_wheels("dist", "member", options=PipOptions(pre=True))
    .with_layer(PoetryProject(project="poetry", extra_args="--only main", secrets=(TOKEN,)))
    .with_layer(PixiProject(manifest="pixi/pixi.toml", environment="gpu"))
    .with_code_bundle("src", "**/*.py", to="/code"),
    "scripts": image().with_uv_script("script.py").with_layer(PixiScript(script="pixi.py", secrets=(TOKEN,))),
    "unlocked": image().with_uv_project("loose", options=PipOptions(extra_args="--group 'a b'")),
    "lines": image(python=None).with_env({"A": 'a\nUSER "x"\n', "B": "$\n\\$A"}).with_env({"C": "c"}),
    "dockerfile": ImageSpec(name="image", dockerfile="Dockerfile"),
    "no-python": image(python=None).with_commands("true"),
    "only-apt": image().with_layer(Apt(packages=("git",), secrets=(TOKEN,))),
    "only-copies": image().with_copy("src", to="/app"),
    "back-to-root": image()
    .with_user("flyte")
    .with_commands("id")
    .with_apt("git")
    .with_pip("x")
    .with_copy("src")
    .with_user("root")
    .with_pip("y"),
}


def rendered(spec: ImageSpec, root: Path, cache: str = "") -> str:
    """The Dockerfile of `spec`."""
    found = resolved(spec, root)
    return dockerfile.render(plan(found), found.base, cache=cache)


@pytest.mark.parametrize("name", SPECS)
def test_the_dockerfile_is_the_one_that_was_approved(tmp_path: Path, name: str) -> None:
    text = rendered(SPECS[name], write(tmp_path, FILES, executable=("src/run.sh",)))
    file = GOLDEN / f"{name}.Dockerfile"
    if os.environ.get("FLYTE_BUILD_REGENERATE"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_every_golden_file_has_a_spec() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(SPECS)


def test_every_kind_of_layer_is_in_a_golden_file() -> None:
    assert {type(layer) for spec in SPECS.values() for layer in spec.layers} == set(get_args(Layer))


def test_nothing_of_the_machine_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path, FILES)
    before = rendered(SPECS["every-layer"], root)
    for name in ("SSL_CERT_FILE", "PIP_INDEX_URL", "UV_INDEX", "NETRC", "HTTPS_PROXY", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    assert rendered(SPECS["every-layer"], root) == before
    assert str(tmp_path) not in before


def test_tenants_share_no_cache_mount_whatever_they_are_called(tmp_path: Path) -> None:
    spec = image().with_apt("git").with_pip("x")

    def ids(cache: str) -> set[str]:
        return set(re.findall(r"type=cache,id=([^,]+),", rendered(spec, tmp_path, cache)))

    tenants = ["", "a", "a-", "a,target=/etc", "a\nRUN x", "é"]
    found = [ids(tenant) for tenant in tenants]
    assert all(len(one) == 3 for one in found)
    assert len(set.union(*found)) == 3 * len(tenants)
    assert all(re.fullmatch(r"[a-z0-9-]+", one) for one in set.union(*found))


def test_titles_are_one_printable_line(tmp_path: Path) -> None:
    spec = image().with_commands("echo\n\x1b[31mred", "x" * 5000).with_pip(*(f"package{n}" for n in range(100)))
    titles = [step.title for step in dockerfile.steps(plan(resolved(spec, tmp_path)))]
    assert titles[2] == "command: echo [31mred"
    assert all(title.isprintable() and len(title) <= 200 for title in titles)


def lines_joined(text: str) -> str:
    """What BuildKit makes of continued lines (its parser's `processLine` and `trimContinuationCharacter`)."""
    joined = []
    for number, line in enumerate(text.split("\n")):
        assert len(line.encode()) < 1 << 16
        if number and (line.lstrip().startswith("#") or not line.strip()):
            continue
        continued = re.fullmatch(r"(.*[^\\]|)\\[ \t]*", line, re.DOTALL)
        joined.append(continued[1] if continued else line)
    return "".join(joined)


SOUP = st.text(st.sampled_from('#\\ \t"$\n`a\u2028é𝄞\x00'), max_size=30)


@given(SOUP | st.builds(lambda text, times: (text + "x") * times, SOUP, st.integers(1, 3000)))
def test_the_exec_form_is_json_however_long(text: str) -> None:
    form = quoting.exec_form("/bin/sh", "-c", text)
    assert json.loads(lines_joined(form)) == ["/bin/sh", "-c", text]


@pytest.mark.parametrize("character", ["#", "\\", " ", "\t", "\n", '"', "\u2003", "𝄞"], ids=ascii)
def test_a_break_may_fall_on_anything(character: str) -> None:
    form = quoting.exec_form(character * 50_000)
    assert form.count("\n") == 6
    assert json.loads(lines_joined(form)) == [character * 50_000]


def word(text: str, environment: Callable[[str], str]) -> str:
    """A double-quoted word as the Dockerfile's word reader takes it (BuildKit's `shell/lex.go`)."""
    assert (text[0], text[-1]) == ('"', '"')
    out, rest = [], text[1:-1]
    while rest:
        if rest[0] == "\\" and rest[1:2] in ('"', "$", "\\"):
            out.append(rest[1])
            rest = rest[2:]
        elif rest[0] == "$" and (match := re.match(r"\$\{?([A-Za-z_]+)\}?", rest)):
            out.append(environment(match[1]))
            rest = rest[match.end() :]
        else:
            assert rest[0] != '"'
            out.append(rest[0])
            rest = rest[1:]
    return "".join(out)


@given(st.text(st.sampled_from("\\\"$a '#\t{}"), max_size=12))
def test_a_literal_word_means_itself(text: str) -> None:
    assert word(quoting.literal(text), lambda name: "EXPANDED") == text


@given(st.text(st.sampled_from("\\\"a '#\t{}\n"), max_size=12))
def test_an_expanded_word_without_dollars_means_itself(text: str) -> None:
    assert word(quoting.expanded(text), {quoting.NEWLINE: "\n"}.__getitem__) == text


def test_an_expanded_word_takes_variables_and_escaped_dollars() -> None:
    assert word(quoting.expanded(r"\$A $A ${A} \\$A"), lambda name: "1") == r"$A 1 1 \$A"
