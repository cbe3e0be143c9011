"""A Python file or module as a source: our specs and the SDK's objects, and every way in which a file fails."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import flyte
import pytest
from flyte._image import Layer
from tests.builder.doubles import write

from flyte_build.builder.sources import sdk
from flyte_build.builder.sources.find import find_specs
from flyte_build.builder.spec import (
    Apt,
    Commands,
    Copy,
    Env,
    ImageSpec,
    Pip,
    PipOptions,
    Requirements,
    SecretMount,
    User,
    Workdir,
)
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidInput, InvalidSpec

BOTH = (Platform("linux", "amd64"), Platform("linux", "arm64"))
THREE_KINDS = """
import flyte
from flyte_build.builder.spec import ImageSpec

print("this must not reach stdout")
ours = ImageSpec(name="ours").with_pip("numpy")
again = ours
debian = flyte.Image.from_debian_base(python_version=(3, 12), registry="ghcr.io/acme", name="debian")
theirs = debian.with_pip_packages("httpx")
environment = flyte.TaskEnvironment(name="train", image=theirs.with_apt_packages("git"))
untouched = flyte.Image.from_base("python:3.12")
default = flyte.TaskEnvironment(name="other")
"""


def test_specs_images_and_environments_of_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, {"my-images.py": THREE_KINDS})
    monkeypatch.chdir(tmp_path)
    found = find_specs("my-images.py")
    assert [(one.origin, one.spec.name, len(one.spec.layers)) for one in found] == [
        ("my-images.py: ours", "ours", 1),
        ("my-images.py: debian", "debian", 0),
        ("my-images.py: theirs", "debian", 1),
        ("my-images.py: environment", "debian", 2),
    ]
    assert found[0].root == tmp_path
    said = capsys.readouterr()
    assert "stdout" not in said.out
    assert "this must not reach stdout" in said.err


def test_a_module_is_found_by_its_name_and_may_import_its_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        tmp_path,
        {
            "pkg_of_images/__init__.py": "",
            "pkg_of_images/names.py": "NAME = 'train'",
            "pkg_of_images/images.py": "from .names import NAME\nfrom flyte_build.builder.spec import ImageSpec\n"
            "image = ImageSpec(name=NAME)",
        },
    )
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    (found,) = find_specs("pkg_of_images.images")
    assert (found.spec, found.root.name) == (ImageSpec(name="train"), "pkg_of_images")
    assert sys.path == before


def test_a_file_may_import_its_neighbours_and_shadows_nothing(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "neighbour_of_it.py": "NAME = 'train'",
            "json.py": "from dataclasses import dataclass\nfrom neighbour_of_it import NAME\n"
            "from flyte_build.builder.spec import ImageSpec\n@dataclass\nclass A:\n    a: 'int'\n"
            "x = ImageSpec(name=NAME)",
        },
    )
    import json

    (found,) = find_specs(str(tmp_path / "json.py"))
    assert found.spec.name == "train"
    assert sys.modules["json"] is json


FAILURES = {
    "raises": (
        "def f():\n    raise ValueError('no\\nway')\nf()",
        "spec_file.py failed to load: spec_file.py:2: ValueError: no",
    ),
    "has a syntax error": ("x = (\n", "spec_file.py failed to load: spec_file.py:1: SyntaxError: '(' was never closed"),
    "imports what has one": ("import bad_neighbour", "failed to load: bad_neighbour.py:2: SyntaxError: invalid syntax"),
    "imports what is not there": (
        "\nimport gone_neighbour",
        "failed to load: spec_file.py:2: ModuleNotFoundError: No module named 'gone_neighbour'",
    ),
    "exits": ("import sys\nsys.exit('bye')", "failed to load: spec_file.py:2: SystemExit: bye"),
    "has an error without words": ("raise RuntimeError", "failed to load: spec_file.py:1: RuntimeError"),
    "has no image": ("x = 1", "spec_file.py holds no image"),
    "has only what is used as it is": (
        "import flyte\nx = flyte.Image.from_base('a')",
        "spec_file.py holds only images that are used as they are",
    ),
    "misspells a platform": (
        "from flyte_build.registry.descriptors import Platform\nPlatform.parse('amd64')",
        "'amd64' is not a platform",
    ),
}


@pytest.mark.parametrize(("text", "said"), FAILURES.values(), ids=FAILURES.keys())
def test_one_sentence_for_a_file_that(tmp_path: Path, text: str, said: str) -> None:
    write(tmp_path, {"spec_file.py": text, "bad_neighbour.py": "x = 1\ny = = 2\n"})
    before = list(sys.path)
    with pytest.raises(InvalidInput) as caught:
        find_specs(str(tmp_path / "spec_file.py"))
    assert caught.value.sentence.endswith(said)
    assert sys.path == before


def test_a_spec_with_a_list_in_it_is_found_and_left_to_the_check(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"listed.py": "from flyte_build.builder.spec import *\nx = ImageSpec(name='a', layers=[Pip(packages=['a'])])"},
    )
    (found,) = find_specs(str(tmp_path / "listed.py"))
    assert found.spec.name == "a"


def clean() -> flyte.Image:
    return flyte.Image.from_base("debian:12").clone(name="image", extendable=True, python_version=(3, 12))


CONVERTED = [
    (
        "apt",
        clean().with_apt_packages("git", "curl", secret_mounts="a-key"),
        Apt(packages=("git", "curl"), secrets=(SecretMount(name="a-key", env="A_KEY"),)),
    ),
    (
        "pip with everything",
        clean().with_pip_packages(
            "a",
            index_url="https://a.test",
            extra_index_urls=["https://b.test"],
            pre=True,
            extra_args="--no-deps",
            secret_mounts=[flyte.Secret(key="key", group="group", as_env_var="KEY")],
        ),
        Pip(
            packages=("a",),
            options=PipOptions(
                index_url="https://a.test", extra_index_urls=("https://b.test",), pre=True, extra_args="--no-deps"
            ),
            secrets=(SecretMount(name="group.key", env="KEY"),),
        ),
    ),
    ("commands", clean().with_commands(["a", "b"]), Commands(commands=("a", "b"))),
    ("env", clean().with_env_vars({"B": "2", "A": "1"}), Env(variables=(("A", "1"), ("B", "2")))),
    ("workdir", clean().with_workdir("/app"), Workdir(path="/app")),
    ("a file", clean().with_source_file(Path("a.txt"), "/app"), Copy(source="a.txt", to="/app")),
    ("a folder", clean().with_source_folder(Path("src")), Copy(source="src", to="./src", contents=True)),
    (
        "a folder's contents",
        clean().with_source_folder(Path("src"), "/app", copy_contents_only=True),
        Copy(source="src", to="/app", contents=True),
    ),
]


@pytest.mark.parametrize(("image", "layer"), [row[1:] for row in CONVERTED], ids=[row[0] for row in CONVERTED])
def test_a_layer_of_the_sdk_becomes_ours(image: flyte.Image, layer: object) -> None:
    spec = sdk.to_spec(image)
    # Where nothing needs a Python, the one that the SDK names is merely the caller's own.
    python = "3.12" if isinstance(layer, (Pip, Commands)) else None
    assert spec == ImageSpec(name="image", base="debian:12", python=python, platforms=spec.platforms, layers=(layer,))  # type: ignore[arg-type]


def test_a_requirements_layer_keeps_its_file(tmp_path: Path) -> None:
    write(tmp_path, {"r.txt": "x"})
    (layer,) = sdk.to_spec(clean().with_requirements(tmp_path / "r.txt")).layers
    assert layer == Requirements(file=str(tmp_path / "r.txt"))


def test_an_image_that_makes_the_user_flyte_ends_as_it_and_gives_it_the_copies() -> None:
    image = flyte.Image.from_debian_base(install_flyte=False, name="slim", python_version=(3, 12))
    spec = sdk.to_spec(image.with_source_file(Path("a.txt"), "/app/"))
    assert spec.base == "python:3.12-slim-bookworm"
    assert spec.platforms == BOTH
    assert spec.layers[-3:] == (
        Copy(source="a.txt", to="/app/", owner="flyte"),
        User(name="flyte"),
        Workdir(path="/home/flyte"),
    )
    assert [layer.kind for layer in spec.layers] == ["commands", "workdir", "env", "apt", "copy", "user", "workdir"]


@dataclass(frozen=True)
class _Unheard(Layer):
    """A kind of layer of an SDK to come."""

    def update_hash(self, hasher: object, ignore: object = None) -> None:
        """Nothing."""


def test_kinds_that_are_not_known_are_named_all_of_them() -> None:
    image = clean().clone(addl_layer=_Unheard()).with_apt_packages("git").clone(addl_layer=_Unheard())
    with pytest.raises(InvalidSpec) as caught:
        sdk.to_spec(image)
    assert [str(problem) for problem in caught.value.problems] == [
        "layers[0]: _Unheard is a kind of layer that is not supported yet",
        "layers[2]: _Unheard is a kind of layer that is not supported yet",
    ]


def test_a_dockerfile_image_is_its_dockerfile(tmp_path: Path) -> None:
    write(tmp_path, {"Dockerfile": "FROM scratch"})
    image = flyte.Image.from_dockerfile(tmp_path / "Dockerfile", registry="ghcr.io/acme", name="a")
    assert sdk.to_spec(image) == ImageSpec(
        name="a",
        registry="ghcr.io/acme",
        dockerfile=str(tmp_path / "Dockerfile"),
        platforms=(Platform.parse("linux/amd64"),),
    )


def test_what_the_sdk_would_not_build_is_not_built() -> None:
    assert not sdk.needs_build(flyte.Image.from_base("a"))
    assert not sdk.needs_build(flyte.Image.from_debian_base(python_version=(3, 12)))
    assert not sdk.needs_build(flyte.Image.from_ref_name("custom"))
    assert sdk.needs_build(flyte.Image.from_debian_base(python_version=(3, 12), name="b"))
