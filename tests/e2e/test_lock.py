"""`--update` and `--locked` on real parts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import run
from tests.e2e.test_image import spec_file
from tests.engine import run_image

pytestmark = pytest.mark.real


def test_a_lock_pins_the_base_and_exact_versions_and_is_obeyed(tmp_path: Path, parts: Parts, where: str) -> None:
    file = spec_file(tmp_path, parts, 'apt = ["tree"]', 'pip = ["six<1.17"]', 'pip = ["python-dateutil"]')
    without = run("flyte-build", "image", file, "--registry", where, "--locked")
    assert without.code == 1
    assert "there is no flyte-build.lock" in without.err
    assert "--update" in without.err

    made = run("flyte-build", "image", file, "--registry", where, "--update", "--json")
    assert made.code == 0, made.err
    image = json.loads(made.out)["images"][0]
    lock = (tmp_path / "flyte-build.lock").read_text(encoding="utf-8")
    assert "six==1.16.0 --hash=sha256:" in lock
    assert "python-dateutil==" in lock
    assert "digest = " in lock
    assert "is that of flyte-build.lock" not in made.err
    script = "import six, dateutil; print(six.__version__)"
    assert run_image(image["pinned"], "python", "-c", script).strip() == "1.16.0"

    again = run("flyte-build", "image", file, "--registry", where, "--locked", "--json")
    assert again.code == 0, again.err
    assert "note: Debian packages are not in flyte-build.lock: tree" in again.err
    assert json.loads(again.out)["images"][0]["pinned"] == image["pinned"]
    assert json.loads(again.out)["images"][0]["status"] == "exists"
    anew = run("flyte-build", "image", file, "--registry", where, "--locked", "--force")
    assert anew.out.strip() == image["pinned"], "what --update builds is what --locked builds"

    spec_file(tmp_path, parts, 'pip = ["six<1.17"]', 'pip = ["python-dateutil", "idna"]')
    stale = run("flyte-build", "image", file, "--registry", where, "--locked")
    assert stale.code == 1
    assert "has no versions for this request of packages" in stale.err
    assert (tmp_path / "flyte-build.lock").read_text(encoding="utf-8") == lock


def test_why_names_the_packages_that_another_lock_changes_and_no_hash(tmp_path: Path, parts: Parts, where: str) -> None:
    def why(request: str, *flags: str) -> list[str]:
        file = spec_file(tmp_path, parts, f"pip = [{request}]")
        done = run("flyte-build", "image", file, "--registry", where, "--why", *flags)
        return [line.removeprefix("why trial: ") for line in done.err.splitlines() if line.startswith("why ")][1:]

    why('"six==1.16.0", "idna==3.10"', "--update")
    assert why('"six==1.16.0", "idna==3.10"', "--check") == [
        "  layer 1 (pip): was pinned by flyte-build.lock and is as written"
    ]
    changed = [
        "  layer 1 (pip): what flyte-build.lock pins changed",
        "    certifi 2024.8.30 is new",
        "    six 1.16.0 is 1.17.0 now",
        "    idna 3.10 is gone",
    ]
    assert why('"six==1.17.0", "certifi==2024.8.30"', "--update", "--dry-run") == changed
    assert why('"six==1.17.0", "certifi==2024.8.30"', "--update", "--no-push") == changed
    assert why('"six==1.17.0", "certifi==2024.8.30"', "--locked", "--check") == changed


def test_one_lock_pins_what_each_platform_needs(tmp_path: Path, parts: Parts, where: str) -> None:
    """Resolved once for all platforms; each gets what its marker says, and what each got is listed."""
    machines = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
    pip = """pip = ["six; platform_machine == 'x86_64'", "idna; platform_machine == 'aarch64'", "tomli==2.0.1"]"""
    file = spec_file(tmp_path, parts, pip)
    file.write_text(file.read_text().replace(parts.base, parts.base_multi))
    flags = [flag for platform in machines for flag in ("--platform", platform)]
    made = run("flyte-build", "image", file, "--registry", where, "--update", "--json", *flags)
    assert made.code == 0, made.err
    lock = (tmp_path / "flyte-build.lock").read_text(encoding="utf-8")
    assert all(f"platform_machine == '{machine}'" in lock for machine in machines.values())

    built = run("flyte-build", "image", file, "--registry", where, "--locked", *flags)
    assert built.code == 0, built.err
    said = json.loads(run("flyte-build", "images", "inspect", built.out.strip(), "--json").out)["image"]["installed"]
    assert {one["platform"]: [p["name"] for p in one["packages"] if p["kind"] == "pypi"] for one in said} == {
        "linux/amd64": ["six", "tomli"],
        "linux/arm64": ["idna", "tomli"],
    }


def test_a_file_that_is_not_the_locked_one_is_said_with_the_way_out(tmp_path: Path, parts: Parts, where: str) -> None:
    file = spec_file(tmp_path, parts, 'pip = ["six"]')
    assert run("flyte-build", "image", file, "--registry", where, "--update").code == 0
    lock = tmp_path / "flyte-build.lock"
    text = re.sub(r"--hash=sha256:\w{8}", "--hash=sha256:00000000", lock.read_text(encoding="utf-8"))
    lock.write_text(text, encoding="utf-8")
    done = run("flyte-build", "image", file, "--registry", where, "--locked")
    assert done.code == 1
    assert "the step «pip packages of flyte-build.lock» failed" in done.err
    assert "if you trust it, renew the lock: --update" in done.err


def test_a_package_that_does_not_exist_leaves_the_lock_as_it_was(tmp_path: Path, parts: Parts, where: str) -> None:
    file = spec_file(tmp_path, parts, 'pip = ["flyte-build-no-such-package"]')
    done = run("flyte-build", "image", file, "--registry", where, "--update")
    assert done.code == 1
    assert "cannot be resolved: Because flyte-build-no-such-package was not found in the package registry" in done.err
    assert "what to do: correct `flyte-build-no-such-package`" in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "flyte-build.lock").exists()


def test_a_dry_update_writes_nothing_and_an_update_says_what_it_wrote(tmp_path: Path, parts: Parts, where: str) -> None:
    file, lock = spec_file(tmp_path, parts, 'pip = ["six==1.16.0"]'), tmp_path / "flyte-build.lock"
    dry = run("flyte-build", "image", file, "--registry", where, "--update", "--dry-run")
    assert (dry.code, lock.exists()) == (0, False), dry.err
    assert f"note: {lock} is written" in run("flyte-build", "image", file, "--registry", where, "--update").err
    lock.write_text("<<<<<<< ours", encoding="utf-8")
    broken = run("flyte-build", "image", file, "--registry", where, "--update")
    assert broken.code == 1
    assert "what to do: take it back from version control, or remove it and make it anew with --update" in broken.err


def test_an_index_that_does_not_answer_is_named_without_its_password(tmp_path: Path, parts: Parts, where: str) -> None:
    file = spec_file(tmp_path, parts, 'pip = ["six"]')
    index = {"UV_DEFAULT_INDEX": "http://me:hush@127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    done = run("flyte-build", "image", file, "--registry", where, "--update", env=index)
    assert done.code == 1
    assert "cannot be resolved: Failed to fetch: http://127.0.0.1:9/simple/six/: Connection refused" in done.err
    assert "the index that was asked is http://127.0.0.1:9/simple" in done.err
    assert "hush" not in done.err


def test_that_a_lock_pins_the_base_without_any_flag_is_said_once(tmp_path: Path, parts: Parts, where: str) -> None:
    file = spec_file(tmp_path, parts, 'env = { A = "1" }')
    argv = ("flyte-build", "image", file, "--registry", where)
    remark = f"image trial: the base {parts.base} is that of flyte-build.lock: --update takes what it is now\n"
    assert "is that of" not in run(*argv, "--dry-run").err
    assert "is that of" not in run(*argv, "--update").err
    assert [run(*argv, *flags).err.count(remark) for flags in ((), ("--dry-run",), ("--progress", "quiet"))] == [
        1,
        1,
        0,
    ]
    assert "is that of" not in run(*argv, "--locked").err
    said = json.loads(run(*argv, "--dry-run", "--progress", "json").err.splitlines()[0])
    assert said == {"event": "Note", "text": remark.rstrip()}
