"""`image.toml`: every kind of layer, and every mistake said with its place and the nearest right word."""

from __future__ import annotations

from pathlib import Path

import pytest

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

EVERYTHING = '''
name = "train"
registry = "ghcr.io/acme"
base = "debian:12"
python = "3.12"
platforms = ["linux/amd64", "linux/aarch64"]

[[layers]]
apt = ["git", "curl"]
secrets = ["plain", { name = "group.key", env = "KEY" }]

[[layers]]
pip = ["numpy", "httpx>=0.27"]
index_url = "https://a.test/simple"
extra_index_urls = ["https://b.test/simple"]
pre = true
extra_args = "--no-deps"

[[layers]]
requirements = "requirements.txt"
pre = false

[[layers]]
commands = ["make", """
set -e
make install
"""]

[[layers]]
env = { B = "2", A = "1" }

[[layers]]
workdir = "/app"

[[layers]]
copy = "src"
to = "/app"
contents = true
ignore = ["*.md"]
owner = "flyte"

[[layers]]
copy = "notes.txt"

[[layers]]
user = "flyte"
'''
SPEC = ImageSpec(
    name="train",
    registry="ghcr.io/acme",
    base="debian:12",
    python="3.12",
    platforms=(Platform("linux", "amd64"), Platform("linux", "arm64")),
    layers=(
        Apt(packages=("git", "curl"), secrets=(SecretMount(name="plain"), SecretMount(name="group.key", env="KEY"))),
        Pip(
            packages=("numpy", "httpx>=0.27"),
            options=PipOptions(
                index_url="https://a.test/simple",
                extra_index_urls=("https://b.test/simple",),
                pre=True,
                extra_args="--no-deps",
            ),
        ),
        Requirements(file="requirements.txt"),
        Commands(commands=("make", "set -e\nmake install\n")),
        Env(variables=(("A", "1"), ("B", "2"))),
        Workdir(path="/app"),
        Copy(source="src", to="/app", contents=True, ignore=("*.md",), owner="flyte"),
        Copy(source="notes.txt", to="."),
        User(name="flyte"),
    ),
)


def read(folder: Path, text: str | bytes) -> tuple[ImageSpec, ...]:
    """The specs of a document."""
    file = folder / "image.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return tuple(found.spec for found in find_specs(str(file)))


def test_every_kind_of_layer_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, EVERYTHING) == (SPEC,)


def test_a_folder_stands_for_the_image_toml_in_it_and_paths_are_relative_to_it(tmp_path: Path) -> None:
    read(tmp_path, 'name = "a"')
    (found,) = find_specs(str(tmp_path))
    assert (found.spec, found.root, found.origin) == (ImageSpec(name="a"), tmp_path, "image.toml: a")


def test_several_images_in_one_document(tmp_path: Path) -> None:
    text = '[[images]]\nname = "a"\n[[images.layers]]\napt = ["git"]\n[[images]]\nname = "b"\n'
    assert read(tmp_path, text) == (ImageSpec(name="a").with_apt("git"), ImageSpec(name="b"))


MISTAKES: list[tuple[str, str, list[str]]] = [
    ("a misspelt key", 'name = "a"\npyhton = "3.12"', ["pyhton: is not known; did you mean 'python'?"]),
    (
        "a key like no other",
        'name = "a"\nxyzzy = 1',
        ["xyzzy: is not known; known keys: name, registry, registry_secret, base, ref, python, platforms"],
    ),
    ("no name", 'python = "3.12"', ["name: is missing"]),
    ("an empty name", 'name = ""', ["name: is empty"]),
    ("a name that is a number", "name = 1", ["name: is a number, not text; put it in quotes"]),
    ("a Python without quotes", 'name = "a"\npython = 3.12', ["python: is a number, not text; put it in quotes"]),
    (
        "a platform that is none",
        'name = "a"\nplatforms = ["amd64"]',
        ["platforms[0]: 'amd64' is not a platform (write it like linux/amd64 or linux/arm64)"],
    ),
    ("platforms as text", 'name = "a"\nplatforms = "x"', ['platforms: is text, not a list; write ["x"]']),
    (
        "one layer as a table",
        'name = "a"\n[layers]\napt = ["x"]',
        ["layers: is a table, not a list of tables; write [[layers]]"],
    ),
    (
        "a layer of two kinds",
        'name = "a"\n[[layers]]\napt = ["x"]\npip = ["y"]',
        ["layers[0]: is apt and pip at once; "],
    ),
    (
        "an empty layer",
        'name = "a"\n[[layers]]',
        ["layers[0]: does not say what it is; give it exactly one of apt, pip,"],
    ),
    (
        "a misspelt kind",
        'name = "a"\n[[layers]]\ncomands = ["x"]',
        ["layers[0].comands: is not known; did you mean 'commands'?"],
    ),
    (
        "a misspelt kind, and an option of another",
        'name = "a"\n[[layers]]\npipp = ["x"]\npre = true\nlock = "x"',
        ["layers[0].pipp: is not known; did you mean 'pip'?", "layers[0].lock: is not known; "],
    ),
    (
        "a kind like no other",
        'name = "a"\n[[layers]]\nrun = ["x"]\nsecrets = ["s"]',
        ["layers[0]: does not say what it is by run, secrets; give it exactly one of apt, pip,"],
    ),
    (
        "an option alone",
        'name = "a"\n[[layers]]\nenvironment = "gpu"',
        ["layers[0]: does not say what it is by environment; give it exactly one of apt, pip,"],
    ),
    (
        "two kinds and an option of neither",
        'name = "a"\n[[layers]]\napt = ["x"]\npip = ["y"]\npree = true',
        ["layers[0].pree: is not known; did you mean 'pre'?", "layers[0]: is apt and pip at once; "],
    ),
    ("a misspelt name", 'nmae = "a"', ["nmae: is not known; did you mean 'name'?"]),
    (
        "a misspelt name, and a second mistake",
        'nmae = "a"\n[[layers]]\nwheels = "dist"\npakage = "x"\npre = 1',
        [
            "nmae: is not known; did you mean 'name'?",
            "layers[0].pakage: is not known; did you mean 'package'?",
            "layers[0].pre: is a number, not true or false",
        ],
    ),
    (
        "a misspelt key of a secret",
        'name = "a"\n[[layers]]\napt = ["x"]\nsecrets = [{ nane = "s" }]',
        ["layers[0].secrets[0].nane: is not known; did you mean 'name'?"],
    ),
    (
        "layers under another name",
        'name = "a"\n[[layer]]\napt = ["x"]',
        ["layer: is not known; did you mean 'layers'?"],
    ),
    ("layers as text", 'name = "a"\nlayers = "apt"', ["layers: is text, not a list of tables; write [[layers]]"]),
    ("a layer as text", 'name = "a"\nlayers = ["apt"]', ["layers[0]: is text, not a table; write [[layers]]"]),
    ("images as a table", '[images]\nname = "a"', ["images: is a table, not a list of tables; write [[images]]"]),
    (
        "secrets as text",
        'name = "a"\n[[layers]]\napt = ["x"]\nsecrets = "s"',
        ["layers[0].secrets: is text, not a list"],
    ),
    (
        "an empty value that is needed",
        'name = "a"\n[[layers]]\ncopy = ""',
        ["layers[0].copy: is empty"],
    ),
    (
        "an install like no other",
        'name = "a"\n[[layers]]\nuv_project = "."\ninstall = "all"',
        ["layers[0].install: is 'all'; use one of: dependencies, project"],
    ),
    (
        "an option of another kind",
        'name = "a"\n[[layers]]\napt = ["x"]\npre = true',
        ["layers[0].pre: is not known; known keys: apt, secrets"],
    ),
    (
        "packages as text",
        'name = "a"\n[[layers]]\npip = "numpy"',
        ['layers[0].pip: is text, not a list; write ["numpy"]'],
    ),
    (
        "a package that is a number",
        'name = "a"\n[[layers]]\npip = ["x", 1]',
        ["layers[0].pip[1]: is a number, not text; "],
    ),
    (
        "a flag as text",
        'name = "a"\n[[layers]]\npip = ["x"]\npre = "yes"',
        ["layers[0].pre: is text, not true or false"],
    ),
    (
        "a variable that is a number",
        'name = "a"\n[[layers]]\nenv = { A = 1 }',
        ["layers[0].env.A: is a number, not text; "],
    ),
    (
        "variables as a list",
        'name = "a"\n[[layers]]\nenv = ["A=1"]',
        ["layers[0].env: is a list, not a table; write { NAME"],
    ),
    (
        "a date",
        'name = "a"\n[[layers]]\nworkdir = 2026-11-21',
        ["layers[0].workdir: is a date, not text; put it in quotes"],
    ),
    (
        "secrets of the wrong shape",
        'name = "a"\n[[layers]]\ncommands = ["x"]\nsecrets = [1, { env = "A" }, { name = "a", file = "b" }]',
        [
            "layers[0].secrets[0]: is neither a name nor a table with name and env",
            "layers[0].secrets[1].name: is missing",
            "layers[0].secrets[2].file: is not known; ",
        ],
    ),
    ("no image", "images = []", ["images: is empty"]),
    ("images of one name", '[[images]]\nname = "a"\n[[images]]\nname = "a"', ["images: two images are named 'a'"]),
    (
        "several images under another name",
        "[[image]]",
        ["image: is not known; did you mean 'images'?"],
    ),
    ("images without names", "[[images]]\n[[images]]", ["images[0].name: is missing", "images[1].name: is missing"]),
    (
        "layers of one image as a table",
        '[[images]]\nname = "a"\n[images.layers]\n',
        ["images[0].layers: is a table, not a list of tables; write [[images.layers]]"],
    ),
    ("a key beside images", 'name = "a"\n[[images]]\nname = "b"', ["name: is not known; "]),
]


@pytest.mark.parametrize(("text", "said"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_a_mistake_is_said_with_its_place(tmp_path: Path, text: str, said: list[str]) -> None:
    with pytest.raises(InvalidSpec) as caught:
        read(tmp_path, text)
    found = [str(problem) for problem in caught.value.problems]
    assert len(found) == len(said)
    for problem, start in zip(found, said, strict=True):
        assert problem.startswith(start)
    assert caught.value.sentence.startswith(str(tmp_path / "image.toml"))


UNREADABLE: list[tuple[str, bytes, str]] = [
    ("half a line", b"name =", "is not TOML: Invalid value"),
    ("a key twice", b'name = "a"\nname = "b"', "is not TOML: Cannot overwrite a value"),
    ("Latin-1", b'name = "caf\xe9"', "is not UTF-8 text"),
    ("more than a spec can need", b"#" * ((1 << 20) + 1), "is larger than 1 MiB, too large for a spec"),
    ("nested without end", b"name = " + b"[" * 50_000, "is nested too deeply for a spec"),
]


@pytest.mark.parametrize(("text", "said"), [row[1:] for row in UNREADABLE], ids=[row[0] for row in UNREADABLE])
def test_what_is_no_document_is_one_sentence(tmp_path: Path, text: bytes, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, text)
    assert caught.value.sentence.startswith(f"{tmp_path / 'image.toml'} {said}")


ABSENT = [
    ("gone.toml", "gone.toml does not exist"),
    ("gone.py", "gone.py does not exist"),
    ("gone/file.txt", "gone/file.txt does not exist"),
    ("empty", "empty is a folder without an image.toml"),
    ("text.txt", "text.txt is not a source of images"),
    ("gone_module", "there is no file or Python module 'gone_module'"),
    ("os.gone", "there is no file or Python module 'os.gone'"),
]


@pytest.mark.parametrize(("source", "said"), ABSENT, ids=[row[0] for row in ABSENT])
def test_a_source_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("FROM scratch", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput) as caught:
        find_specs(source)
    assert caught.value.sentence == said
    assert caught.value.hint
