"""The Action as a repository has it: the example workflow, executed by `act` on this machine, with a real registry.

Actions that are GitHub's own are stood in for: `act` passes over the checkout, and the one that tells the cache's
address does nothing, because `act` tells it to every step.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from tests.conftest import Parts
from tests.e2e.conftest import Done, run

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
ACTION = ("action.yml", "pyproject.toml", "constraints.txt", "README.md", "CHANGELOG.md", "LICENSE")
ROOMS = ("builder", "bundler", "registry", "worker")
CANARY = "canary-5f1c-of-the-index"
NOTHING = """name: nothing
description: stands in for an action of GitHub's
runs: {using: composite, steps: [{run: ":", shell: bash}]}
"""


@pytest.fixture(scope="session")
def action(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The action as GitHub would check it out."""
    place = tmp_path_factory.mktemp("action")
    for name in ACTION:
        shutil.copy(ROOT / name, place / name)
    for name in ROOMS:
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    return place


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A repository with the example workflow. `uses` is what stands for the remote actions of the workflow."""

    folder: Path
    action: Path
    registry: str

    def spec(self, parts: Parts, package: str) -> None:
        """Writes image.toml: a package, and a step that prints a secret and a command of GitHub's."""
        text = f'name = "trial"\nbase = "{parts.base}"\npython = "{parts.python}"\n\n[[layers]]\npip = ["{package}"]\n'
        step = "cat /run/secrets/TOKEN; echo; echo '::error::not a command'; echo '::set-output name=reference::x'"
        text += f'\n[[layers]]\ncommands = ["""{step}"""]\nsecrets = ["TOKEN"]\n'
        (self.folder / "image.toml").write_text(text, encoding="utf-8")

    def act(self, event: str, *more: str) -> Done:
        """Runs the workflow; `more` goes to act."""
        for argv in (
            ["add", "-A"],
            ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "--allow-empty", "-qm", "x"],
        ):
            subprocess.run(["git", *argv], cwd=self.folder, check=True)
        nothing = self.folder.parent / "nothing"
        nothing.mkdir(exist_ok=True)
        (nothing / "action.yml").write_text(NOTHING, encoding="utf-8")
        argv = ["act", event, "--platform", "ubuntu-latest=-self-hosted", "--var", f"REGISTRY={self.registry}"]
        argv += ["--secret", f"INDEX_TOKEN={CANARY}", "--secret", "GITHUB_TOKEN=ghs-canary-token"]
        for used, place in self._used(nothing):
            argv += ["--local-repository", f"{used}={place}"]
        argv += ["--action-cache-path", str(self.folder.parent / "act")]
        return run(*argv, *(more or ("--no-cache-server",)), cwd=self.folder)

    def _used(self, nothing: Path) -> Sequence[tuple[str, Path]]:
        texts = [file.read_text(encoding="utf-8") for file in (self.workflow, self.action / "action.yml")]
        used = sorted({found for text in texts for found in re.findall(r"uses: (\S+@\S+)", text)})
        return [(one, self.action if one.startswith("flyte-build/") else nothing) for one in used]

    @property
    def workflow(self) -> Path:
        return self.folder / ".github/workflows/images.yml"

    def change(self, old: str, new: str) -> None:
        """Changes the workflow's text."""
        text = self.workflow.read_text(encoding="utf-8")
        assert old in text
        self.workflow.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path, action: Path, where: str) -> Project:
    folder = tmp_path / "repository"
    (folder / ".github/workflows").mkdir(parents=True)
    shutil.copy(ROOT / "examples/workflows/images.yml", folder / ".github/workflows/images.yml")
    deploy = folder / "deploy"
    deploy.write_text('#!/bin/sh\necho "deployed $1"\n', encoding="utf-8")
    deploy.chmod(0o755)
    subprocess.run(["git", "init", "-q", "-b", "main", "."], cwd=folder, check=True)
    return Project(folder=folder, action=action, registry=where)


def test_a_pull_request_is_told_a_merge_builds_and_deploys_pinned_and_the_next_finds_it(
    project: Project, parts: Parts
) -> None:
    project.spec(parts, "six==1.16.0")
    asked = project.act("pull_request")
    assert asked.code == 0, asked.out + asked.err
    assert "::notice title=flyte-build::the image trial does not exist yet" in asked.out
    assert "::set-output:: missing=true" in asked.out
    assert "deployed" not in asked.out
    assert run("crane", "ls", f"{project.registry}/trial").code != 0

    merged = project.act("push")
    assert merged.code == 0, merged.out + merged.err
    digest = run("crane", "digest", f"{project.registry}/trial:{_tag(project)}").out.strip()
    assert f"deployed {project.registry}/trial@{digest}" in merged.out
    assert "::set-output:: built=true" in merged.out
    assert re.search(rf"\| \*\*trial\*\* built \| `\S+@{digest}` \| [\d.]+ MiB \| \d of \d \|", merged.out)
    assert "has no image that flyte-build made" in merged.out
    assert "::set-output name=reference::x" in merged.out  # said, and not obeyed
    assert "❗  ::error::not a command" not in merged.out
    _hides_secrets(merged)

    again = project.act("push")
    assert again.code == 0, again.out + again.err
    assert "::set-output:: built=false" in again.out
    assert f"deployed {project.registry}/trial@{digest}" in again.out


def test_a_step_that_fails_is_annotated_at_its_line_and_nothing_is_deployed(project: Project, parts: Parts) -> None:
    project.spec(parts, "flyte-build-no-such-package")
    done = project.act("push")
    assert done.code != 0
    assert "::error title=flyte-build,file=image.toml,line=6::the step «pip packages:" in done.out, done.out
    assert "was not found in the package registry" in done.out
    assert "deployed" not in done.out
    _hides_secrets(done)


def test_githubs_cache_is_written_by_one_run_and_read_by_the_next(project: Project, parts: Parts) -> None:
    project.change("cache: registry", "cache: gha")
    kept = project.folder.parent / "cache"
    serve = ("--cache-server-addr", "127.0.0.1", "--cache-server-path", str(kept))
    project.spec(parts, "six==1.15.0")
    first = project.act("push", "--job", "images", *serve, "--env", f"ACTIONS_RUNTIME_TOKEN={_runtime_token()}")
    assert first.code == 0, first.out + first.err
    assert "exporting to GitHub Actions Cache" in first.out
    assert any(file.stat().st_size > 10_000 for file in kept.rglob("*") if file.is_file())
    project.spec(parts, "six==1.14.0")
    second = project.act("push", "--job", "images", *serve, "--env", f"ACTIONS_RUNTIME_TOKEN={_runtime_token()}")
    assert second.code == 0, second.out + second.err
    assert re.search(r"✓ +[\d.]+s importing cache manifest from gha", second.out)


def test_the_example_is_a_workflow_that_pins_every_action_of_others(project: Project) -> None:
    workflow = yaml.safe_load(project.workflow.read_text(encoding="utf-8"))
    used = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    for one in used:
        name, _, ref = one.partition("@")
        assert re.fullmatch(r"[0-9a-f]{40}" if not name.startswith("flyte-build/") else r"v[\d.]+", ref)


def _hides_secrets(done: Done) -> None:
    for secret in (CANARY, "ghs-canary-token"):
        assert secret not in done.out + done.err
    assert "***" in done.out or "pip packages" in done.out


def _tag(project: Project) -> str:
    tags = run("crane", "ls", f"{project.registry}/trial").out.split()
    return next(tag for tag in tags if re.fullmatch(r"[0-9a-f]{40}", tag))


def _runtime_token() -> str:
    """What BuildKit reads of GitHub's token: the scopes and the times."""
    scopes = json.dumps([{"Scope": "refs/heads/main", "Permission": 3}])
    parts = ({"alg": "HS256", "typ": "JWT"}, {"ac": scopes, "exp": 4102444800, "nbf": 1})
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join((*coded, "c2ln"))
