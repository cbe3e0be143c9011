"""Every kind of layer, built by the real engine and judged by running the image."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import replace

import pytest
from tests.builder.building import Workshop
from tests.builder.doubles import write
from tests.engine import docker

from flyte_build.builder.dockerfile import RECIPE_LABEL, SPEC_DIGEST_LABEL
from flyte_build.builder.engine import BuildOptions, StepOutput
from flyte_build.builder.machine import find_machine
from flyte_build.builder.spec import Copy, PipOptions, Requirements, SecretMount
from flyte_build.builder.uv_lock import public_index
from flyte_build.registry.errors import BuildFailed

pytestmark = pytest.mark.real

FILES = {
    "requirements.txt": "-r more/base.txt\n-c pins.txt\nidna\n",
    "more/base.txt": "six==1.16.0\n",
    "pins.txt": "idna<3.8\n",
    "src/app/main.py": "print('hello')",
    "src/app/run.sh": "#!/bin/sh\necho ran",
    "src/app/latest": "-> main.py",
    "src/empty/": "",
    "src/.git/HEAD": "junk",
    "src/app/notes.md": "ignored",
    "note.txt": "note",
}
MODULES = "import json, six, idna, tomli; print(json.dumps([six.__version__, idna.__version__, tomli.__name__]))"
DISTRIBUTIONS = (
    "import importlib.metadata as m, json; print(json.dumps([one.metadata['Name'] for one in m.distributions()]))"
)
PLACES_OF_OURS = "find /run /root /tmp /var/cache/apt /var/lib/apt/lists | sort; command -v uv || echo no uv"
STAT = "find /app /tmp /moved -mindepth 0 -printf '%p %m %u %y %l\\n' | sort"


def test_every_kind_of_layer_is_in_the_image(workshop: Workshop) -> None:
    write(workshop.root, FILES, executable=("src/app/run.sh",))
    spec = (
        workshop.spec()
        .with_apt("file")
        .with_layer(Requirements(file="requirements.txt"))
        .with_pip("tomli==2.0.1")
        .with_env({"GREETING": "hi $VIRTUAL_ENV"})
        .with_commands("useradd --create-home flyte", "echo $GREETING > /greeting")
        .with_workdir("/app")
        .with_layer(Copy(source="src", to="/app", contents=True, ignore=("*.md",)))
        .with_copy("note.txt", to="note.txt")
        .with_copy("more", to="/tmp", contents=True)
        .with_layer(Copy(source="note.txt", to="/moved/here.txt", owner="flyte"))
        .with_user("flyte")
        .with_commands("id -un > ~/who", "uv --version", "test -r /run/flyte-build/recipe/env.sh")
        .with_pip("packaging==24.0")
        .with_apt("make")
    )
    built = workshop.build(spec)
    assert json.loads(workshop.run(built, "python", "-c", MODULES)) == ["1.16.0", "3.7", "tomli"]
    assert workshop.run(built, "python", "-c", "import packaging; print(packaging.__version__)") == "24.0\n"
    assert workshop.run(built, "sh", "-c", "which file make && cat /greeting ~/who && id -un && pwd").split() == [
        "/usr/bin/file",
        "/usr/bin/make",
        "hi",
        "/opt/venv",
        "flyte",
        "flyte",
        "/app",
    ]
    found = dict(line.split(" ", 1) for line in workshop.run(built, "sh", "-c", STAT).splitlines())
    assert found == {
        "/app": "755 root d ",
        "/app/app": "755 root d ",
        "/app/app/latest": "777 root l main.py",
        "/app/app/main.py": "644 root f ",
        "/app/app/run.sh": "755 root f ",
        "/app/empty": "755 root d ",
        "/app/note.txt": "644 root f ",
        "/moved": "755 flyte d ",
        "/moved/here.txt": "644 flyte f ",
        "/tmp": "1777 root d ",
        "/tmp/base.txt": "644 root f ",
    }
    assert workshop.run(built, "/app/app/run.sh") == "ran\n"


def test_every_option_of_pip_is_understood_by_what_installs(workshop: Workshop) -> None:
    index = public_index()
    more = PipOptions(index_url=index, extra_index_urls=(index,), pre=True, extra_args="--no-deps --no-cache")
    built = workshop.build(workshop.spec().with_pip("build==1.2.1", options=more).with_pip("idna==3.7"))
    found = json.loads(workshop.run(built, "python", "-c", DISTRIBUTIONS))
    assert sorted(found) == ["build", "idna"]


def test_the_image_says_what_it_was_made_of_and_holds_nothing_of_ours(workshop: Workshop) -> None:
    built = workshop.build(workshop.spec().with_apt("file").with_pip("six"))
    config = workshop.config(built)
    labels = config["config"]["Labels"]
    assert labels[SPEC_DIGEST_LABEL] == str(built.plan.spec_digest)
    assert labels[RECIPE_LABEL] == "1"
    bare = docker("run", "--rm", "--network", "none", workshop.parts.base, "sh", "-c", PLACES_OF_OURS)
    assert workshop.run(built, "sh", "-c", PLACES_OF_OURS) == bare.stdout
    assert bare.returncode == 0, bare.stderr
    assert "flyte-build" not in " ".join(config["config"]["Env"])


def test_what_the_engine_reports_is_what_others_see(workshop: Workshop) -> None:
    built = workshop.build(workshop.spec().with_env({"A": "1"}))
    seen = subprocess.run(
        ["crane", "digest", f"{built.reference.repository}:{built.plan.tag}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert seen.stdout.strip() == str(built.reference.digest) == str(built.image.digest)
    assert built.image.status == "built"


def test_steps_are_called_by_our_names(workshop: Workshop) -> None:
    spec = workshop.spec().with_env({"A": "1"}).with_commands("true").with_workdir("/new").with_user("nobody")
    spec = spec.with_commands("false || true").with_pip("six")
    titles = set(workshop.build(spec).cached())
    assert {
        f"python {workshop.parts.python}",
        "command: true",
        "workdir /new",
        "command: false || true",
        "pip packages: six",
    } <= titles


def test_apt_says_what_it_installed_and_no_more(workshop: Workshop) -> None:
    options = BuildOptions(machine=find_machine(), no_cache=True)
    events = workshop.build(workshop.spec().with_apt("tree"), options).events
    lines = [event.line for event in events if isinstance(event, StepOutput) and event.title.startswith("apt ")]
    assert [line.split()[:2] for line in lines] == [["+", "tree"]]


def test_a_secret_is_there_in_its_step_only_whoever_runs_it(workshop: Workshop) -> None:
    write(workshop.root, {"value": "s3cret value\n"})
    told = hashlib.sha256(b"s3cret value").hexdigest()
    check = f'test "$(printf %s "$TOKEN" | sha256sum)" = "{told}  -" && test -r /run/secrets/group.token'
    secrets = (SecretMount(name="group.token", env="TOKEN"),)
    spec = (
        workshop.spec()
        .with_commands("useradd flyte", check, secrets=secrets)
        .with_user("flyte")
        .with_commands(check, secrets=secrets)
        .with_commands('test -z "$TOKEN" && test ! -e /run/secrets/group.token')
    )
    options = BuildOptions(machine=find_machine(), secrets={"group.token": workshop.root / "value"})
    assert "s3cret" not in json.dumps(workshop.config(workshop.build(spec, options)))


def test_a_secret_that_is_not_given_stops_the_build(workshop: Workshop) -> None:
    spec = workshop.spec().with_commands("true", secrets=(SecretMount(name="absent"),))
    with pytest.raises(BuildFailed, match="absent"):
        workshop.build(spec)


def test_a_python_that_the_base_does_not_have_is_said(workshop: Workshop) -> None:
    spec = replace(workshop.spec(), python="3.9").with_pip("six")
    with pytest.raises(BuildFailed) as caught:
        workshop.build(spec)
    assert caught.value.step == "python 3.9"
    assert caught.value.hint.startswith("the base has no such Python")


def test_a_python_that_nothing_is_installed_into_is_there_all_the_same(workshop: Workshop) -> None:
    write(workshop.root, FILES)
    spec = workshop.spec().with_copy("note.txt", to="/note.txt")
    assert workshop.run(workshop.build(spec), "cat", "/note.txt") == "note"
    with pytest.raises(BuildFailed) as caught:
        workshop.build(replace(spec, python="3.9"))
    assert caught.value.step == "python 3.9"
    assert caught.value.log[-1] == f"the base has no Python 3.9, but Python {workshop.parts.python}"
    assert caught.value.hint == "choose a base that has it, another `python`, or none"


def test_an_environment_of_another_python_in_the_base_is_not_taken(workshop: Workshop) -> None:
    built = workshop.build(workshop.spec().with_commands("true"))
    spec = replace(workshop.spec(), base=str(built.reference))
    kept = workshop.build(spec.with_pip("six"))
    assert workshop.run(kept, "python", "-c", "import six, sys; print(sys.prefix)") == "/opt/venv\n"
    with pytest.raises(BuildFailed) as caught:
        workshop.build(replace(spec, python="3.9").with_pip("six"))
    assert caught.value.log[-1] == (
        f"the base has Python {workshop.parts.python} in /opt/venv, and Python 3.9 was asked for"
    )


def test_an_owner_that_the_image_does_not_know_is_said(workshop: Workshop) -> None:
    write(workshop.root, FILES)
    built = workshop.build(workshop.spec().with_layer(Copy(source="note.txt", to="/note.txt", owner="nosuch")))
    assert workshop.run(built, "stat", "-c", "%U", "/note.txt") == "root\n"
