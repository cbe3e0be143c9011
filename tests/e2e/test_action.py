"""The Action as a repository has it: the example workflow, executed by `act` on this machine, with a real registry."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
import yaml
from tests.conftest import Parts
from tests.e2e.conftest import run
from tests.e2e.repository import ROOT, Project, example, hides_secrets

pytestmark = pytest.mark.real


@pytest.fixture
def project(tmp_path: Path, action: Path, where: str) -> Project:
    return example("images.yml", folder=tmp_path / "repository", action=action, registry=where)


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
    hides_secrets(merged)
    assert "***" in merged.out

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
    hides_secrets(done)


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


@pytest.mark.parametrize("name", sorted(file.name for file in (ROOT / "examples/workflows").iterdir()))
def test_an_example_is_a_workflow_that_pins_every_action_of_others(name: str) -> None:
    workflow = yaml.safe_load((ROOT / "examples/workflows" / name).read_text(encoding="utf-8"))
    used = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    for one in used:
        name, _, ref = one.partition("@")
        assert re.fullmatch(r"[0-9a-f]{40}" if not name.startswith("flyte-build/") else r"v[\d.]+", ref)


def _tag(project: Project) -> str:
    tags = run("crane", "ls", f"{project.registry}/trial").out.split()
    return next(tag for tag in tags if re.fullmatch(r"[0-9a-f]{40}", tag))


def _runtime_token() -> str:
    """What BuildKit reads of GitHub's token: the scopes and the times."""
    scopes = json.dumps([{"Scope": "refs/heads/main", "Permission": 3}])
    parts = ({"alg": "HS256", "typ": "JWT"}, {"ac": scopes, "exp": 4102444800, "nbf": 1})
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join((*coded, "c2ln"))
