"""Who waits for a build service is told why: at its client, while it waits."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import BIN, Service, serving
from tests.e2e.rules import rules_of
from tests.e2e.test_remote import NO_ENGINE, spec_file

pytestmark = pytest.mark.real
TOKEN = "a-token-of-the-tests-own"


@contextmanager
def asked(service: Service, file: Path, project: str) -> Iterator[subprocess.Popen[str]]:
    """`flyte-build image --engine remote`, as it waits."""
    argv = [str(BIN / "flyte-build"), "image", str(file), "--engine", "remote", "--endpoint", service.url]
    env = {"FLYTE_BUILD_TOKEN": TOKEN, "HOME": str(file.parent), "PATH": str(BIN), **NO_ENGINE}
    argv += ["--project", project, "--domain", "development"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as client:
        try:
            yield client
        finally:
            client.kill()


def until_said(client: subprocess.Popen[str], text: str) -> None:
    said = ""
    assert client.stdout is not None
    while text not in said:
        line = client.stdout.readline()
        assert line, said
        said += line


def test_a_client_reads_whose_turn_it_is_while_it_waits(tmp_path: Path, parts: Parts, fresh_name: str) -> None:
    registry, rules = f"{parts.registry}/{fresh_name}", tmp_path / "access.toml"
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    one_at_a_time = rules_of(digest, f"{registry}/{{project}}", parts.registry, project="*", more="running = 1")
    rules.write_text(one_at_a_time, encoding="utf-8")
    files = []
    for name, command in (("a", "echo begun; sleep 30"), ("b", "true"), ("c", "true")):
        (tmp_path / name).mkdir()
        files.append(spec_file(tmp_path / name, parts, f"{fresh_name}-{name}", command))
    with (
        serving(tmp_path / "state", registry, "--access", rules, "--concurrency", "1") as service,
        asked(service, files[0], "one") as first,
    ):
        until_said(first, "    begun")
        with asked(service, files[1], "one") as second, asked(service, files[2], "two") as third:
            until_said(
                second, "one/development runs as many builds as it may (1 of 1): this one waits, and is the next"
            )
            until_said(third, "all workers are busy: this one waits, and is the next")
            for client in (first, second, third):
                assert client.wait(120) == 0
