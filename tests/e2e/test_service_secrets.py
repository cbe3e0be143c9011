"""Build secrets through the service and the unmodified SDK: used, and found nowhere; and the SDK's own tag, trusted."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import BIN, Service

pytestmark = pytest.mark.real
PROGRAM = """
import sys
import flyte

secret = flyte.Secret(key="token", group=sys.argv[2], as_env_var="TOKEN")
image = (
    flyte.Image.from_base("{base}")
    .clone(name=sys.argv[1], extendable=True)
    .with_commands(["{command}"], secret_mounts=[secret])
)
if __name__ == "__main__":
    flyte.init_from_config()
    built = flyte.build(image, force="force" in sys.argv)
    print("URI", built.uri)
"""
# Says it in four coats, and fails if it is another's.
TELL = 'echo plain $TOKEN; echo $TOKEN | base64; echo $TOKEN | fold -w 8; set -x; : "$TOKEN"; test ${#TOKEN} = 27'


@pytest.fixture
def canary() -> str:
    return f"canary-{uuid.uuid4().hex[:20]}"


@pytest.fixture
def kept(parts: Parts, tmp_path: Path, canary: str) -> Iterator[Service]:
    """A service with a secret of the SDK's project, which trusts the SDK's tags."""
    secrets = tmp_path / "secrets" / "flytesnacks" / "group"
    secrets.mkdir(parents=True)
    (secrets / "token").write_text(canary)
    state, registry = tmp_path / "state", f"{parts.registry}/kept-{uuid.uuid4().hex[:8]}"
    argv = [str(BIN / "flyte-build"), "serve", "--port", "0", "--state", str(state), "--registry", registry]
    argv += ["--secrets", str(tmp_path / "secrets"), "--trust-sdk-tags"]
    with (
        (tmp_path / "serve.log").open("wb") as log,
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        assert process.stdout is not None
        try:
            yield Service(url=process.stdout.readline().decode().strip(), state=state, registry=registry)
        finally:
            process.terminate()
            process.wait(60)


def builds_in(state: Path) -> int:
    with closing(sqlite3.connect(state / "flyte-build.db")) as database:
        return int(database.execute("SELECT count(*) FROM builds").fetchone()[0])


def test_a_secret_is_used_and_found_nowhere(
    tmp_path: Path, parts: Parts, kept: Service, fresh_name: str, canary: str
) -> None:
    program = tmp_path / "program"
    program.mkdir()
    command = TELL.replace('"', '\\"')
    (program / "main.py").write_text(PROGRAM.format(base=parts.base, command=command), encoding="utf-8")
    first = kept.program(program, "main.py", fresh_name, "group")
    assert first.code == 0, first.out + first.err
    uri = next(line.split()[1] for line in first.out.splitlines() if line.startswith("URI"))
    assert uri.startswith(f"{kept.registry}/{fresh_name}@sha256:")
    assert builds_in(kept.state) == 1

    # A second process and a fresh home: GetImage answers, and nothing is asked to be built.
    shutil.rmtree(program / "home")
    again = kept.program(program, "main.py", fresh_name, "group")
    assert again.code == 0, again.out + again.err
    assert f"URI {uri}" in again.out
    assert builds_in(kept.state) == 1

    missing = kept.program(program, "main.py", fresh_name, "other", "force")
    assert missing.code != 0
    assert "has no secret 'other.token'" in " ".join((missing.out + missing.err).split())

    told = [first.out, first.err, again.out, again.err, missing.out, missing.err]
    for path in ("/", "/metrics", "/api/v1/builds", "/readyz"):
        with urllib.request.urlopen(f"{kept.url}{path}", timeout=20) as answer:
            told.append(answer.read().decode())
    (build,) = (one["id"] for one in json.loads(told[-2])["builds"] if one["state"] == "succeeded")
    with urllib.request.urlopen(f"{kept.url}/api/v1/builds/{build}/log", timeout=20) as answer:
        told.append(answer.read().decode())
    assert "plain ***" in told[-1], "the step told it, and that was kept"
    time.sleep(0.5)
    _nowhere(canary, tmp_path, told)


def _nowhere(canary: str, folder: Path, told: list[str]) -> None:
    """As it is, or in base64, in anything that the service keeps or said."""
    forms = (canary, base64.b64encode(canary.encode()).decode()[:20])
    files = [file for file in folder.rglob("*") if file.is_file() and "secrets" not in file.relative_to(folder).parts]
    assert [file for file in files if file.name == "flyte-build.db"]
    found = [str(file) for file in files for form in forms if form.encode() in file.read_bytes()]
    found += [text for text in told for form in forms if form in text]
    assert found == []
