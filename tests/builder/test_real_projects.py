"""Projects, scripts, wheels and bundles, built by the real engine and judged by running the image."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.builder import trees
from tests.builder.building import Built, Workshop
from tests.builder.doubles import write

from flyte_build.builder import recipe
from flyte_build.builder.dockerfile import SPEC_DIGEST_LABEL
from flyte_build.builder.spec import ImageSpec, PipOptions, PixiProject, PoetryProject, UvProject

pytestmark = pytest.mark.real

INSTALLED = (
    "import importlib.metadata as m, json;"
    "print(json.dumps(sorted(d.name for d in m.distributions() if d.name not in ('pip', 'setuptools'))))"
)


def installed(workshop: Workshop, built: Built) -> list[str]:
    """Names of distributions in the image's environment."""
    found: list[str] = json.loads(workshop.run(built, "python", "-c", INSTALLED))
    return found


def test_a_locked_uv_project_brings_its_pins_and_members_and_not_itself(workshop: Workshop) -> None:
    trees.workspace(workshop.root)
    built = workshop.build(workshop.spec().with_uv_project("."))
    assert installed(workshop, built) == ["idna", "iniconfig", "lib", "member", "tomli"]
    assert workshop.run(built, "python", "-c", "import member, lib; print(member.SAYS, lib.SAYS)") == "member lib\n"
    assert workshop.run(built, "python", "-c", "import member; print(member.__file__)").startswith("/opt/venv/lib")


def test_groups_and_extras_of_a_uv_project_are_chosen(workshop: Workshop) -> None:
    trees.workspace(workshop.root)
    options = PipOptions(extra_args="--no-dev --extra more --no-install-project")
    built = workshop.build(workshop.spec().with_layer(UvProject(project=".", install="project", options=options)))
    assert installed(workshop, built) == ["idna", "lib", "member", "six", "tomli"]


def test_a_changed_source_or_version_reinstalls_only_what_it_is_in(workshop: Workshop) -> None:
    trees.workspace(workshop.root)
    spec = workshop.spec().with_apt("file").with_uv_project(".", install="project")
    first = workshop.build(spec)
    assert installed(workshop, first) == ["app", "idna", "iniconfig", "lib", "member", "tomli"]
    file = workshop.root / "pyproject.toml"
    file.write_text(file.read_text().replace('version = "0.1"', 'version = "0.2"'))
    (workshop.root / "src/app/__init__.py").write_text(f"SAYS = '{workshop.name}'")
    second = workshop.build(spec)
    cached = second.cached()
    assert cached["apt packages: file"]
    assert cached["locked packages"]
    assert cached["projects: 0-member 1-lib"]
    assert not cached["projects: project"]
    said = workshop.run(
        second, "python", "-c", "import app, importlib.metadata as m; print(app.SAYS, m.version('app'))"
    )
    assert said == f"{workshop.name} 0.2\n"


def test_a_uv_project_without_a_lock_is_resolved_in_the_build(workshop: Workshop) -> None:
    text = '[project]\nname = "app"\nversion = "1"\ndependencies = ["idna<3.8"]\n[dependency-groups]\nx = ["six"]\n'
    write(workshop.root, {"pyproject.toml": text})
    built = workshop.build(
        workshop.spec().with_uv_project(".", options=PipOptions(extra_args="--group x")).with_pip("tomli")
    )
    assert installed(workshop, built) == ["idna", "six", "tomli"]


def test_a_script_brings_its_packages_and_projects(workshop: Workshop) -> None:
    trees.workspace(workshop.root)
    write(workshop.root, {"run.py": trees.SCRIPT.format(project=workshop.root)})
    built = workshop.build(workshop.spec().with_uv_script("run.py"))
    assert installed(workshop, built) == ["app", "idna", "iniconfig", "lib", "member", "tomli"]
    assert workshop.run(built, "python", "-c", "import app") == ""


def test_the_wheel_of_the_folder_wins_and_its_dependencies_come_from_the_index(workshop: Workshop) -> None:
    trees.wheels(workshop.root)
    built = workshop.build(workshop.spec().with_wheels("dist", "member"))
    assert installed(workshop, built) == ["member", "tomli"]
    source = workshop.root / "member/src/member/__init__.py"
    source.write_text("SAYS = 'chosen'")
    trees.uv("build", "--wheel", "--out-dir", str(workshop.root / "dist"), "member", cwd=workshop.root)
    again = workshop.build(workshop.spec().with_wheels("dist", "member"))
    assert workshop.run(again, "python", "-c", "import member; print(member.SAYS)") == "chosen\n"


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (PoetryProject(project=".", extra_args="--only main"), ["idna"]),
        (PoetryProject(project=".", install="project"), ["app", "idna", "iniconfig"]),
    ],
    ids=["dependencies of one group", "the project too"],
)
def test_a_poetry_project_without_poetry_in_the_image(
    workshop: Workshop, layer: PoetryProject, expected: list[str]
) -> None:
    trees.poetry(workshop.root)
    built = workshop.build(workshop.spec().with_layer(layer))
    assert installed(workshop, built) == expected
    if "app" in expected:
        assert workshop.run(built, "python", "-c", "import app; print(app.SAYS)") == "app\n"
    assert (
        workshop.run(built, "sh", "-c", "command -v poetry || ls /root/.cache /root/.local 2>/dev/null || true") == ""
    )


def test_a_bundle_and_a_dockerignore_choose_files(workshop: Workshop) -> None:
    write(workshop.root, {"a/x.py": "", "a/b/y.py": "", "a/z.txt": "", "a/skip/w.py": "", ".dockerignore": "**/skip\n"})
    spec = replace(workshop.spec(), dockerignore=".dockerignore")
    spec = spec.with_code_bundle("a", "**/*.py", to="/code").with_copy("a", to="/copied")
    built = workshop.build(spec.with_workdir("/code"))
    assert workshop.run(built, "sh", "-c", "find . /copied -type f | sort").split() == [
        "./b/y.py",
        "./x.py",
        "/copied/a/b/y.py",
        "/copied/a/x.py",
        "/copied/a/z.txt",
    ]


DOCKERFILE = """# syntax=docker/dockerfile:1
ARG BASE={base}
FROM $BASE AS first
COPY one.txt /one.txt
FROM {base}
COPY --from=first /one.txt /
COPY --chown=nobody sub /sub/
COPY <<EOF /here
COPY never /x
EOF
RUN --mount=type=bind,source=bound.txt,target=/mnt/b cp /mnt/b /bound
"""


def test_a_dockerfile_is_built_from_pinned_images_and_the_files_it_reads(workshop: Workshop) -> None:
    text = DOCKERFILE.format(base=workshop.parts.base)
    files = {"Dockerfile": text, "one.txt": "1", "sub/a": "a", "sub/skip": "s", "bound.txt": "b", "unread.txt": "u"}
    write(workshop.root, {**files, ".dockerignore": "sub/skip\n"})
    spec = ImageSpec(name="image", dockerfile="Dockerfile")
    built = workshop.build(spec)
    assert [file.path for file in built.plan.trees()[0].files] == ["bound.txt", "one.txt", "sub/a"]
    assert workshop.run(built, "sh", "-c", "cat /one.txt /bound /here && ls /sub && stat -c %U /sub/a").split() == [
        "1bCOPY",
        "never",
        "/x",
        "a",
        "nobody",
    ]
    assert workshop.config(built)["config"]["Labels"][SPEC_DIGEST_LABEL] == str(built.plan.spec_digest)
    write(workshop.root, {"one.txt": "2"})  # as large as before, and laid out with the same timestamp
    again = workshop.build(spec)
    assert again.plan.spec_digest != built.plan.spec_digest
    assert workshop.run(again, "cat", "/one.txt") == "2"


PIXI = """#!/bin/sh
test "$1" = install || exit 1
echo "$@" > /pixi-was-told
mkdir -p /opt/pixi-project/.pixi/envs/gpu/bin
ln -s /usr/bin/python3 /opt/pixi-project/.pixi/envs/gpu/bin/python
"""


def test_pixi_is_taken_from_its_pinned_image_and_told_what_to_install(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in for pixi's image and program: the real ones, and conda's packages, are not there offline."""
    dockerfile = f"FROM {workshop.parts.base}\nCOPY pixi /usr/local/bin/pixi\n"
    write(workshop.root, {"tool/Dockerfile": dockerfile, "tool/pixi": PIXI}, executable=("tool/pixi",))
    tool = workshop.build(ImageSpec(name="image", dockerfile="tool/Dockerfile"))
    monkeypatch.setattr(recipe, "PIXI_IMAGE", f"{tool.reference.repository}:{tool.plan.tag}")
    write(workshop.root, {"pixi.toml": "[workspace]\nname = 'x'\n", "pixi.lock": "version: 6\n"})
    layer = PixiProject(manifest="pixi.toml", environment="gpu", extra_args="--no-progress")
    built = workshop.build(workshop.spec().with_layer(layer))
    assert workshop.run(built, "cat", "/pixi-was-told").split() == [
        *("install", "--manifest-path", "/opt/pixi-project/pixi.toml", "--environment", "gpu"),
        *("--locked", "--no-progress"),
    ]
    assert workshop.run(built, "sh", "-c", "command -v python; ls /opt/pixi-project").split() == [
        "/opt/pixi-project/.pixi/envs/gpu/bin/python",
        "pixi.lock",
        "pixi.toml",
    ]
