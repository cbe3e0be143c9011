"""The Action that asks a build service: no Docker, no password, only the job's identity, which the service believes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import Done, Service, run, serving
from tests.e2e.repository import CANARY, Project, example, hides_secrets
from tests.worker.oidc import JOBS, MAY_ASK, Idp, idp

pytestmark = pytest.mark.real

RULES = """
[[issuer]]
url = "{issuer}"
audience = ["flyte-build"]
[[allow]]
issuer = "{issuer}"
subject = "repo:acme/train:ref:refs/heads/main"
projects = ["research/development"]
[[project]]
name = "research"
registries = ["{registry}"]
bases = ["{base}"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A build service that believes one issuer."""

    service: Service
    issuer: Idp


@pytest.fixture(scope="module")
def guarded(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    with idp() as issuer:
        rules, base = folder / "rules.toml", parts.base.rpartition("/")[0]
        registry = f"{parts.registry}/{folder.name}"
        rules.write_text(RULES.format(issuer=issuer.url, registry=registry, base=base), encoding="utf-8")
        with serving(folder / "state", registry, "--access", str(rules)) as service:
            yield Guarded(service=service, issuer=issuer)


@pytest.fixture
def project(tmp_path: Path, action: Path, where: str, parts: Parts) -> Project:
    made = example("build-service.yml", folder=tmp_path / "repository", action=action, registry=where)
    text = f'name = "trial"\nbase = "{parts.base}"\npython = "{parts.python}"\n\n[[layers]]\npip = ["six==1.16.0"]\n'
    text += f'\n[[layers]]\ncommands = ["echo {where}"]\n'  # no other test's, so it is run and not remembered
    (made.folder / "image.toml").write_text(text, encoding="utf-8")
    return made


def push(project: Project, guarded: Guarded, *, asks: bool = True) -> Done:
    """A merge, of a job that may ask for its identity or not, on a runner without Docker."""
    identity = {"URL": f"{guarded.issuer.url}{JOBS}", "TOKEN": MAY_ASK}
    given = [f"ACTIONS_ID_TOKEN_REQUEST_{name}={value}" for name, value in identity.items()] if asks else []
    more = [word for text in (*given, "DOCKER_HOST=unix:///nowhere") for word in ("--env", text)]
    return project.act("push", "--no-cache-server", "--var", f"FLYTE_BUILD_ENDPOINT={guarded.service.url}", *more)


def test_a_merge_builds_at_the_service_as_the_job_and_deploys_pinned(project: Project, guarded: Guarded) -> None:
    merged = push(project, guarded)
    assert merged.code == 0, merged.out + merged.err
    pinned = re.search(rf"deployed ({guarded.service.registry}/trial@sha256:[0-9a-f]{{64}})", merged.out)
    assert pinned, merged.out
    assert run("crane", "manifest", pinned[1]).code == 0
    assert re.search(r"✓ +[\d.]+s command: echo", merged.out)
    assert "pip packages: six==1.16.0" in merged.out
    assert re.search(rf"\| \*\*trial\*\* built \| `{pinned[1]}` \| [\d.]+ MiB \| \d of \d \|", merged.out)
    hides_secrets(merged)
    assert MAY_ASK not in merged.out
    assert not re.search(r"eyJ[\w-]+\.eyJ", merged.out + merged.err)

    again = push(project, guarded)
    assert "::set-output:: built=false" in again.out, again.out + again.err
    assert f"deployed {pinned[1]}" in again.out


def test_a_step_that_fails_at_the_service_is_annotated_at_its_line(project: Project, guarded: Guarded) -> None:
    file = project.folder / "image.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("six==1.16.0", "flyte-build-no-such"), encoding="utf-8")
    done = push(project, guarded)
    assert done.code != 0
    assert "::error title=flyte-build,file=image.toml,line=6::the step «pip packages:" in done.out, done.out
    assert "deployed" not in done.out


def test_a_job_without_the_right_to_an_identity_is_told_so(project: Project, guarded: Guarded) -> None:
    done = push(project, guarded, asks=False)
    assert done.code != 0
    assert "does not let us in" in done.out, done.out
    assert "permissions: id-token: write" in done.out


def test_a_job_of_another_branch_is_told_whose_rules_to_look_at(project: Project, guarded: Guarded) -> None:
    before, guarded.issuer.job = guarded.issuer.job, "repo:acme/train:ref:refs/heads/wild"
    try:
        done = push(project, guarded)
    finally:
        guarded.issuer.job = before
    assert done.code != 0
    assert "let the rules of the service (--access) name this repository's jobs" in done.out, done.out


def test_what_a_service_has_of_its_own_is_refused_in_one_sentence(project: Project, guarded: Guarded) -> None:
    project.change("domain: development", "domain: development\n          cache: gha")
    done = push(project, guarded)
    assert done.code != 0
    assert "::error title=flyte-build::the input 'cache' of the action does not go with 'endpoint'" in done.out
    assert CANARY not in done.out
