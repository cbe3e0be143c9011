"""A repository that uses the Action, and `act`, which executes its workflow on this machine.

Actions that are GitHub's own are stood in for: `act` passes over the checkout, and the one that tells the cache's
address does nothing, because `act` tells it to every step.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import Parts
from tests.e2e.conftest import Done, run

ROOT = Path(__file__).parents[2]
ACTION = ("action.yml", "pyproject.toml", "constraints.txt", "README.md", "CHANGELOG.md", "LICENSE")
ROOMS = ("builder", "bundler", "registry", "worker")
CANARY = "canary-5f1c-of-the-index"
TOKEN = "ghs-canary-token"
NOTHING = """name: nothing
description: stands in for an action of GitHub's
runs: {using: composite, steps: [{run: ":", shell: bash}]}
"""


def check_out(place: Path) -> Path:
    """The action as GitHub would check it out."""
    for name in ACTION:
        shutil.copy(ROOT / name, place / name)
    for name in ROOMS:
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    return place


def example(name: str, *, folder: Path, action: Path, registry: str) -> Project:
    """A new repository with this workflow of examples/workflows."""
    (folder / ".github/workflows").mkdir(parents=True)
    shutil.copy(ROOT / "examples/workflows" / name, folder / ".github/workflows" / name)
    deploy = folder / "deploy"
    deploy.write_text('#!/bin/sh\necho "deployed $1"\n', encoding="utf-8")
    deploy.chmod(0o755)
    subprocess.run(["git", "init", "-q", "-b", "main", "."], cwd=folder, check=True)
    return Project(folder=folder, action=action, registry=registry, example=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A repository with one of the example workflows, and the action that it uses."""

    folder: Path
    action: Path
    registry: str
    example: str = "images.yml"

    def spec(self, parts: Parts, package: str) -> None:
        """Writes image.toml: a package, and a step that prints a secret and a command of GitHub's.

        The step is no other test's, and so never remembered by the engine: what is cached prints nothing.
        """
        text = f'name = "trial"\nbase = "{parts.base}"\npython = "{parts.python}"\n\n[[layers]]\npip = ["{package}"]\n'
        step = f"echo {self.registry}; cat /run/secrets/TOKEN; echo; "
        step += "echo '::error::not a command'; echo '::set-output name=reference::x'"
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
        argv += ["--secret", f"INDEX_TOKEN={CANARY}", "--secret", f"GITHUB_TOKEN={TOKEN}"]
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
        return self.folder / ".github/workflows" / self.example

    def change(self, old: str, new: str) -> None:
        """Changes the workflow's text."""
        text = self.workflow.read_text(encoding="utf-8")
        assert old in text
        self.workflow.write_text(text.replace(old, new), encoding="utf-8")


def hides_secrets(done: Done) -> None:
    """Neither of the secrets that the job was given is in its log."""
    for secret in (CANARY, TOKEN):
        assert secret not in done.out + done.err
