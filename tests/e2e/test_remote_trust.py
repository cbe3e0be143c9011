"""What a client of a build service believes: the service, and not whoever may push to its registry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import run, serving
from tests.e2e.test_existing import forge
from tests.e2e.test_remote import NO_ENGINE, document, remote, spec_file

pytestmark = pytest.mark.real


def test_a_strangers_image_under_the_plans_tag_is_not_taken(parts: Parts, tmp_path: Path, fresh_name: str) -> None:
    file = spec_file(tmp_path, parts, fresh_name)
    with serving(tmp_path / "state", f"{parts.registry}/{fresh_name}") as service:
        built = document(remote(service, file, "--json"))
        forged = forge(str(built["pinned"]))
        again = document(remote(service, file, "--json"))
    assert (again["status"], again["pinned"]) == ("exists", built["pinned"]) != ("exists", forged)


def test_what_was_built_before_the_service_signed_is_built_again_and_signed(
    parts: Parts, tmp_path: Path, fresh_name: str
) -> None:
    password, where = {"COSIGN_PASSWORD": "x"}, f"{parts.registry}/{fresh_name}"
    assert run("cosign", "generate-key-pair", cwd=tmp_path, env=password).code == 0
    file = spec_file(tmp_path, parts, fresh_name)
    with serving(tmp_path / "state", where) as service:
        document(remote(service, file, "--json"))
    sign = ("--sign", tmp_path / "cosign.key", "--no-tlog")
    with serving(tmp_path / "state", where, *sign, env=password) as service:
        image = document(remote(service, file, "--json"))
        assert image["status"] == "built"
        verified = run("flyte-build", "verify", str(image["pinned"]), "--key", tmp_path / "cosign.pub", "--no-tlog")
        assert verified.code == 0, verified.out + verified.err
        assert document(remote(service, file, "--json"))["status"] == "exists"


def test_hints_about_a_build_name_its_service(parts: Parts, tmp_path: Path, fresh_name: str) -> None:
    file = spec_file(tmp_path, parts, fresh_name, command="exit 7")
    with serving(tmp_path / "state", f"{parts.registry}/{fresh_name}") as service:
        failed = remote(service, file)
        assert failed.code == 1
        assert f"--endpoint {service.url}" in " ".join(failed.err.split())


def test_a_service_without_an_engine_says_so_to_who_waits_and_to_who_watches_it(
    parts: Parts, tmp_path: Path, fresh_name: str
) -> None:
    where = f"{parts.registry}/{fresh_name}"
    with serving(tmp_path / "state", where, "--lease", "2", env=NO_ENGINE) as service:
        missing = json.loads(service.page(f"{service.url}/readyz"))["missing"]
        assert "worker" in missing
        file = spec_file(tmp_path, parts, fresh_name)
        words = ("flyte-build", "image", file, "--engine", "remote", "--endpoint", service.url)
        waiting = run("timeout", "--signal=INT", "15", *words, env=NO_ENGINE)
        assert "no worker takes builds" in waiting.err
