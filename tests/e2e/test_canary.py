"""Secrets of every kind of step, by every way in: looked for in every byte that a build leaves anywhere."""

from __future__ import annotations

import base64
import gzip
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import zstandard
from tests.builder import trees
from tests.builder.doubles import write
from tests.conftest import Parts
from tests.e2e.conftest import Done, run
from tests.e2e.test_image import spec_file
from tests.registry.servers import PASSWORD, USER, docker_registry, htpasswd

pytestmark = pytest.mark.real

KINDS = ("apt", "pip", "requirements", "uv_project", "poetry_project", "commands")
AUTH = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
PROVIDER = '#!/bin/sh\nread name\n[ "$name" = team.pip ] && echo "{\\"Secret\\": \\"$OF_PIP\\"}" || echo "{}"\n'
# What a careless step does: it tells its secret, plainly and in another coat.
TELL = 'echo "shown: $S_COMMANDS"; printf %s "$S_COMMANDS" | base64 -w0; echo; echo {mark} > /marker'
PROGRAM = """
import flyte
from pathlib import Path

def secret(kind):
    return [flyte.Secret(key=kind, group="team", as_env_var="S_" + kind.upper())]

image = (
    flyte.Image.from_base("{base}")
    .clone(name="plug", registry="{registry}/team", registry_secret="pull", extendable=True, platform=("linux/amd64",))
    .with_env_vars({{"MARK": "{mark}"}})
    .with_pip_packages("idna", secret_mounts=secret("pip"))
    .with_poetry_project(Path("poetry/pyproject.toml"), secret_mounts=secret("poetry_project"))
    .with_commands(['{tell}'], secret_mounts=secret("commands"))
)
flyte.init(image_builder="flyte-build", project="p", domain="development")
print("URI", flyte.build(image).uri)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trap:
    """Canaries by kind of step, a mark that is meant to be found, and where everything that is left behind lies."""

    root: Path
    registry: str
    mark: str
    canaries: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """Of the process: what leads to the secrets, and folders of its own for all that it may leave."""
        work = {
            name: str(self.root / "left" / name) for name in ("HOME", "TMPDIR", "FLYTE_BUILD_CACHE", "DOCKER_CONFIG")
        }
        for folder in work.values():
            Path(folder).mkdir(parents=True, exist_ok=True)
        secret = {"PULL": json.dumps({"auths": {self.registry: {"auth": AUTH}}})}
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"
        return {**work, **secret, "PATH": path, "PYTHONPATH": "", "COLUMNS": "200"}

    def require_silence(self, done: Done) -> None:
        """No canary in what was said or left behind; the mark is, or nothing was looked at."""
        assert done.code == 0, done.out + done.err
        assert "shown: ***" in done.err
        seen = {"said": done.out.encode() + done.err.encode(), **dict(_files(self.root / "left"))}
        for what, value in {**self.canaries, "password": PASSWORD, "auth": AUTH}.items():
            forms = (value.encode(), base64.b64encode(value.encode()).rstrip(b"="))
            assert [name for name, data in seen.items() if any(form in data for form in forms)] == [], what
        # A layer, the configuration, the plan.
        assert sum(self.mark.encode() in data for data in seen.values()) >= 3


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink() and "uv" not in file.relative_to(folder).parts[:3]:
            data = file.read_bytes()
            yield str(file), data
            if data[:2] == b"\x1f\x8b":
                yield f"{file} unpacked", gzip.decompress(data)
            elif data[:4] == b"\x28\xb5\x2f\xfd":
                yield f"{file} unpacked", zstandard.ZstdDecompressor().decompressobj().decompress(data)


@contextmanager
def trap(root: Path) -> Iterator[Trap]:
    """A registry with a password, whose storage counts as left behind, and projects of every kind."""
    served = root / "left" / "registry"
    served.mkdir(parents=True)
    write(root, {"requirements.txt": "six\n", "bin/flyte-build-secret-pass": PROVIDER})
    (root / "bin/flyte-build-secret-pass").chmod(0o755)
    trees.workspace(root / "uv")
    trees.poetry(root / "poetry")
    canaries = {kind: f"canary{uuid.uuid4().hex}" for kind in KINDS}
    with docker_registry(served, auth=htpasswd(served)) as registry:
        yield Trap(root=root, registry=registry.host, mark=f"mark{uuid.uuid4().hex}", canaries=canaries)


def test_nothing_that_the_command_line_leaves_holds_a_secret(tmp_path: Path, parts: Parts) -> None:
    with trap(tmp_path) as one:
        write(tmp_path, {"given/apt": one.canaries["apt"]})

        def layer(text: str, kind: str) -> str:
            return f'{text}\nsecrets = [{{ name = "team.{kind}", env = "S_{kind.upper()}" }}]'

        values = {
            "apt": '["file"]',
            "pip": '["idna"]',
            "requirements": '"requirements.txt"',
            "uv_project": '"uv"',
            "poetry_project": '"poetry"',
            "commands": json.dumps([TELL.format(mark=one.mark)]),
        }
        layers = [layer(f"{kind} = {value}", kind) for kind, value in values.items()]
        file = spec_file(tmp_path, parts, f'env = {{ MARK = "{one.mark}" }}', *layers)
        file.write_text(f'registry_secret = "pull"\n{file.read_text(encoding="utf-8")}', encoding="utf-8")
        # Of a file, of a variable that is named, of a program, and of the variables that the SDK would read.
        more = {"OF_PIP": one.canaries["pip"], "NAMED": one.canaries["requirements"]}
        more |= {f"TEAM_{kind.upper()}": one.canaries[kind] for kind in KINDS[3:]}
        more["FLYTE_BUILD_SECRET_PROVIDERS"] = "command:pass"
        ways = ["--secret", f"id=team.apt,src={tmp_path / 'given/apt'}", "--secret", "id=team.requirements,env=NAMED"]
        argv = ["flyte-build", "image", str(file), "--registry", f"{one.registry}/team", "--progress", "plain"]
        done = run(*argv, *ways, cwd=tmp_path, env=one.environment | more)
        one.require_silence(done)
        assert list((tmp_path / "left/TMPDIR").iterdir()) == []


def test_nothing_that_the_sdks_plugin_leaves_holds_a_secret(tmp_path: Path, parts: Parts) -> None:
    with trap(tmp_path) as one:
        tell = TELL.format(mark=one.mark)
        program = PROGRAM.format(base=parts.base, registry=one.registry, mark=one.mark, tell=tell)
        (tmp_path / "program.py").write_text(program, encoding="utf-8")
        more = {f"TEAM_{kind.upper()}": value for kind, value in one.canaries.items()}
        done = run("python", "program.py", cwd=tmp_path, env=one.environment | more)
        one.require_silence(done)
        assert f"URI {one.registry}/team/plug@sha256:" in done.out
