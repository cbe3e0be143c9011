"""`flyte-build image` on real parts, judged by somebody else's eyes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import BIN, run
from tests.engine import run_image

pytestmark = pytest.mark.real


def spec_file(folder: Path, parts: Parts, *layers: str, name: str = "trial") -> Path:
    """An image.toml on the test base."""
    file = folder / "image.toml"
    head = f'name = "{name}"\nbase = "{parts.base}"\npython = "{parts.python}"\n'
    file.write_text(head + "".join(f"\n[[layers]]\n{layer}\n" for layer in layers), encoding="utf-8")
    return file


def test_an_image_is_built_once_and_others_agree_on_its_digest(tmp_path: Path, parts: Parts, where: str) -> None:
    (tmp_path / "notes.txt").write_text("from the host", encoding="utf-8")
    file = spec_file(
        tmp_path,
        parts,
        'pip = ["six==1.16.0"]',
        'env = { GREETING = "hello \\"you\\" $VIRTUAL_ENV" }',
        'commands = ["echo made > /made.txt"]',
        'copy = "notes.txt"\nto = "/app/"',
        'workdir = "/app"',
    )
    first = run("flyte-build", "image", file, "--registry", where, "--tag", "latest", "--json")
    assert first.code == 0, first.err
    built = json.loads(first.out)["images"][0]
    assert built["status"] == "built"
    assert built["engine"] == "buildx"

    second = run("flyte-build", "image", file, "--registry", where)
    assert second.code == 0, second.err
    assert second.out.strip() == built["pinned"]
    assert "exists already" in second.err

    for name in (built["reference"], f"{where}/trial:latest"):
        judged = run("crane", "digest", name)
        assert judged.out.strip() == built["digest"], judged.err

    script = "import six, os; print(six.__version__); print(os.environ['GREETING']); print(open('notes.txt').read())"
    inside = run_image(built["pinned"], "python", "-c", script)
    assert inside.splitlines()[:3] == ["1.16.0", 'hello "you" /opt/venv', "from the host"]


def test_check_says_missing_with_exit_code_3_and_builds_nothing(tmp_path: Path, parts: Parts, where: str) -> None:
    file = spec_file(tmp_path, parts, 'env = { A = "1" }')
    done = run("flyte-build", "image", file, "--registry", where, "--check", "--json")
    assert done.code == 3
    document = json.loads(done.out)["images"][0]
    assert (document["status"], document["digest"], document["pinned"]) == ("missing", None, None)
    assert run("crane", "ls", f"{where}/trial").code != 0


def test_the_spec_digest_is_the_same_anywhere_and_changes_with_a_package(
    tmp_path: Path, parts: Parts, where: str
) -> None:
    digests = []
    for place in ("one", "two/deeper"):
        folder = tmp_path / place
        (folder / "src").mkdir(parents=True)
        (folder / "src" / "a.py").write_text("print(1)\n", encoding="utf-8")
        file = spec_file(folder, parts, 'pip = ["six"]', 'copy = "src"')
        digests.append(_planned(file, where))
    os.utime(tmp_path / "one" / "src" / "a.py", (1, 1))
    digests.append(_planned(tmp_path / "one" / "image.toml", where))
    assert len(set(digests)) == 1
    more = spec_file(tmp_path / "one", parts, 'pip = ["six", "idna"]', 'copy = "src"')
    assert _planned(more, where) not in digests


def _planned(file: Path, where: str) -> str:
    done = run("flyte-build", "image", file, "--registry", where, "--dry-run", "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)["images"][0]
    assert document["status"] == "planned"
    return str(document["spec_digest"])


def test_a_package_that_does_not_exist_names_the_step_and_shows_its_log(
    tmp_path: Path, parts: Parts, where: str
) -> None:
    file = spec_file(tmp_path, parts, 'pip = ["flyte-build-no-such-package"]')
    done = run("flyte-build", "image", file, "--registry", where)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert "the step «pip packages: flyte-build-no-such-package» failed with exit code 1" in done.err
    assert "was not found in the package registry" in done.err
    assert "what to do: check the package's name" in done.err
    assert run("crane", "ls", f"{where}/trial").code != 0


@pytest.mark.parametrize("mode", ["plain", "json", "quiet"])
def test_the_lines_of_a_failed_step_are_shown_once(tmp_path: Path, parts: Parts, where: str, mode: str) -> None:
    file = spec_file(tmp_path, parts, 'commands = ["echo $((40 + 2)) times; exit 3"]')
    done = run("flyte-build", "image", file, "--registry", where, "--progress", mode)
    assert done.code == 1
    assert done.err.count("42 times") == 1
    events = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    assert {event["image"] for event in events} == ({"trial"} if mode == "json" else set())
    assert not [event for event in events if "internal" in event["title"] or "recipe" in event["title"]]


def test_a_registry_that_is_down_is_one_sentence_before_anything_is_built(tmp_path: Path, parts: Parts) -> None:
    file = spec_file(tmp_path, parts, 'env = { A = "1" }')
    done = run("flyte-build", "image", file, "--registry", "127.0.0.1:9/nobody")
    assert done.code == 1
    assert "127.0.0.1:9" in done.err
    assert "Traceback" not in done.err
    assert "exporting" not in done.err


def test_an_engine_that_is_not_there_is_one_sentence(tmp_path: Path, parts: Parts, where: str) -> None:
    file = spec_file(tmp_path, parts, 'env = { A = "2" }')
    nowhere = {"DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"}
    done = run("flyte-build", "image", file, "--registry", where, env=nowhere)
    assert done.code == 1
    assert "flyte-build: no Docker engine answers" in done.err
    assert "what to do:" in done.err


def test_a_typo_in_a_spec_is_named_with_the_nearest_key(tmp_path: Path, parts: Parts, where: str) -> None:
    file = spec_file(tmp_path, parts, 'pipp = ["six"]')
    done = run("flyte-build", "image", file, "--registry", where)
    assert done.code == 1
    assert "layers[0].pipp: is not known; did you mean 'pip'?" in done.err


def test_ctrl_c_stops_the_build_and_leaves_nothing(tmp_path: Path, parts: Parts, where: str, fresh_name: str) -> None:
    marker = f"sleep 97.{int(fresh_name[1:5], 16)}"
    file = spec_file(tmp_path, parts, f'commands = ["echo begun; {marker}"]')
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [BIN / "flyte-build", "image", file, "--registry", where, "--progress", "plain"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(scratch)},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "begun" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "interrupted" in err
    assert "Traceback" not in err
    assert list(scratch.iterdir()) == []
    deadline = time.monotonic() + 30
    while _running(marker) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not _running(marker)
    again = spec_file(tmp_path, parts, 'commands = ["echo begun"]')
    assert run("flyte-build", "image", again, "--registry", where).code == 0


def _running(marker: str) -> bool:
    return run("pgrep", "-f", f"^{re.escape(marker)}").code == 0


def test_two_clones_give_one_digest(tmp_path: Path, parts: Parts, where: str) -> None:
    project = tmp_path / "a"
    (project / "pkg").mkdir(parents=True)
    (project / "pkg" / "tool.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    (project / "pkg" / "tool.sh").chmod(0o755)
    file = spec_file(project, parts, 'copy = "pkg"')
    shutil.copytree(project, tmp_path / "b" / "elsewhere")
    assert _planned(file, where) == _planned(tmp_path / "b" / "elsewhere" / "image.toml", where)


def test_a_tag_that_somebody_else_pushed_is_not_believed(tmp_path: Path, parts: Parts, where: str) -> None:
    file = spec_file(tmp_path, parts, 'env = { A = "3" }')
    dry = run("flyte-build", "image", file, "--registry", where, "--dry-run", "--json")
    name = json.loads(dry.out)["images"][0]["reference"]
    assert run("crane", "copy", parts.base, name).code == 0
    for flags in ((), ("--check",)):
        done = run("flyte-build", "image", file, "--registry", where, *flags)
        assert done.code == 1
        assert "was not made from this spec" in done.err
        assert "--force" in done.err
    assert run("flyte-build", "image", file, "--registry", where, "--force").code == 0
    assert run("flyte-build", "image", file, "--registry", where, "--check").code == 0


def test_two_platforms_are_one_index_that_is_found_again(tmp_path: Path, parts: Parts, where: str) -> None:
    file = tmp_path / "image.toml"
    text = 'name = "both"\nbase = "scratch-base"\nplatforms = ["linux/amd64", "linux/arm64"]\n'
    text += '[[layers]]\nenv = { A = "1" }\n'
    base = f"{where}/base:1"
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n", encoding="utf-8")
    built = run(
        "docker", "buildx", "build", "--platform", "linux/amd64,linux/arm64", "--provenance=false",
        "--output", f"type=image,push=,name={base},oci-mediatypes=true,unpack=false,store=false", tmp_path,
    )  # fmt: skip
    assert built.code == 0, built.err
    file.write_text(text.replace("scratch-base", base), encoding="utf-8")
    first = run("flyte-build", "image", file, "--registry", where, "--json")
    assert first.code == 0, first.err
    image = json.loads(first.out)["images"][0]
    assert image["platforms"] == ["linux/amd64", "linux/arm64"]
    manifest = json.loads(run("crane", "manifest", image["pinned"]).out)
    assert sorted(entry["platform"]["architecture"] for entry in manifest["manifests"]) == ["amd64", "arm64"]
    assert run("flyte-build", "image", file, "--registry", where, "--check").code == 0


def test_why_says_what_changed_since_the_last_image(tmp_path: Path, parts: Parts, where: str) -> None:
    file = spec_file(tmp_path, parts, 'env = { A = "1" }')
    first = run("flyte-build", "image", file, "--registry", where, "--why")
    assert first.code == 0, first.err
    assert "has no image that flyte-build made" in first.err
    same = run("flyte-build", "image", file, "--registry", where, "--why", "--check")
    assert "nothing changed" in same.err
    spec_file(tmp_path, parts, 'env = { A = "2" }')
    changed = run("flyte-build", "image", file, "--registry", where, "--why", "--check")
    assert changed.code == 3
    assert "layer 1 (env): A changed in variables" in changed.err


def test_a_spec_in_python_is_printed_as_an_image_toml_that_is_the_same_image(tmp_path: Path, parts: Parts) -> None:
    lines = ["from flyte_build.builder.spec import ImageSpec", f'image = ImageSpec(name="a", base="{parts.base}")']
    lines += ['image = image.with_env({"A": "1\\n2"}).with_copy("spec.py", to="/app/")']
    (tmp_path / "spec.py").write_text("\n".join(lines), encoding="utf-8")
    printed = run("flyte-build", "image", "spec.py", "--toml", cwd=tmp_path)
    assert printed.code == 0, printed.err
    (tmp_path / "image.toml").write_text(printed.out, encoding="utf-8")
    argv = ["flyte-build", "image", "spec.py", "image.toml", "--check", "--registry", parts.registry]
    checked = run(*argv, cwd=tmp_path)
    one, other = checked.out.splitlines()
    assert (checked.code, one) == (3, other)


def test_of_several_images_the_built_ones_are_answered_when_one_fails(
    tmp_path: Path, parts: Parts, where: str, fresh_name: str
) -> None:
    head = f'base = "{parts.base}"\npython = "{parts.python}"\n'
    images = {"good": f"echo {fresh_name}", "bad": "exit 7", "later": "true"}
    (tmp_path / "image.toml").write_text(
        "".join(
            f'[[images]]\nname = "{name}"\n{head}[[images.layers]]\ncommands = ["{command}"]\n'
            for name, command in images.items()
        ),
        encoding="utf-8",
    )
    done = run("flyte-build", "image", tmp_path, "--registry", where, "--progress", "quiet")
    assert done.code == 1
    assert done.out.startswith(f"{where}/good@sha256:")
    assert done.out.count("\n") == 1
    assert "image bad: failed; not tried: later\n" in done.err
    again = run("flyte-build", "image", tmp_path, "--registry", where, "--progress", "json", "--json")
    assert [one["status"] for one in json.loads(again.out)["images"]] == ["exists"]
    events = [json.loads(line) for line in again.err.splitlines() if line.startswith('{"event": "Image')]
    ended = next(one for one in events if one["event"] == "ImageEnded")
    assert (ended["image"], ended["status"], ended["pinned"]) == ("good", "exists", done.out.strip())
    assert events[-2:] == [{"event": "ImageFailed", "image": "bad"}, {"event": "ImageUntried", "image": "later"}]


def test_what_is_copied_and_looks_like_a_secret_is_said(tmp_path: Path, parts: Parts, where: str) -> None:
    source = tmp_path / "src"
    source.mkdir()
    for name in (".env", "id_rsa", ".env.example", "train.py"):
        (source / name).write_text("x", encoding="utf-8")
    file = spec_file(tmp_path, parts, 'copy = "src"\nto = "/app"')
    said = run("flyte-build", "image", file, "--registry", where, "--dry-run")
    assert (said.code, said.err.count("\n")) == (0, 1), said.err
    assert "image trial: it copies what looks like a secret" in said.err
    assert ": src/.env (an environment file), src/id_rsa (a private key); leave it out by `ignore`" in said.err
    assert run("flyte-build", "image", file, "--registry", where, "--dry-run", "--progress", "quiet").err == ""
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(f"FROM {parts.base}\nCOPY . /x\n", encoding="utf-8")
    assert (
        "leave it out by .dockerignore" in run("flyte-build", "image", dockerfile, "--registry", where, "--check").err
    )
    spec_file(tmp_path, parts, 'copy = "src"\nto = "/app"\nignore = [".env", "id_rsa"]')
    assert run("flyte-build", "image", file, "--registry", where, "--dry-run").err == ""
