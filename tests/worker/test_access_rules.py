"""The rules file: what it says, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from flyte_build.registry.errors import InvalidInput, InvalidSpec, ServiceDenied
from flyte_build.registry.names import Repository
from flyte_build.worker.access.policy import Limits, Place, Policies, Policy
from flyte_build.worker.access.rules_file import parse, read
from flyte_build.worker.access.tokens import Tokens
from flyte_build.worker.access.values import Identity, Projects, matches
from flyte_build.worker.cli.token import token

GITHUB = "https://token.actions.githubusercontent.com"
FILE = f"""
[[issuer]]
url = "{GITHUB}"
audience = ["flyte-build"]

[[allow]]
issuer = "{GITHUB}"
subject = "repo:acme/*:ref:refs/heads/main"
projects = ["research", "vision/development"]

[[allow]]
issuer = "{GITHUB}"
subject = "*"
claims = {{ repository = "acme/train", environment = "prod" }}
projects = ["train-*"]

[[token]]
name = "ci"
sha256 = "{"a" * 64}"
projects = ["*"]

[[project]]
name = "vision"
registries = ["ghcr.io/acme/vision", "docker.io/acme"]
bases = ["docker.io/library", "ghcr.io/acme/shared"]
queued = 3
running = 1
context_mib = 2
build_seconds = 60

[[project]]
name = "*"
registries = ["ghcr.io/acme/{{project}}"]
"""


def who(subject: str, issuer: str = GITHUB, **claims: object) -> Identity:
    return Identity(issuer=issuer, subject=subject, claims=claims)


@pytest.mark.parametrize(
    ("identity", "project", "may"),
    [
        pytest.param(who("repo:acme/x:ref:refs/heads/main"), "research/production", True, id="a whole project"),
        pytest.param(who("repo:acme/x:ref:refs/heads/main"), "vision/development", True, id="one domain of it"),
        pytest.param(who("repo:acme/x:ref:refs/heads/main"), "vision/production", False, id="not another domain"),
        pytest.param(who("repo:acme/x:ref:refs/heads/evil"), "research/development", False, id="not another branch"),
        pytest.param(who("repo:acme-evil/x:ref:refs/heads/main"), "research/x", False, id="not who is called alike"),
        pytest.param(who("repo:acme/x:ref:refs/heads/main", "token"), "research/x", False, id="nor a token called so"),
        pytest.param(
            who("repo:acme/x:ref:refs/heads/main", "https://other.example"),
            "research/x",
            False,
            id="nor of another issuer",
        ),
        pytest.param(who("x", repository="acme/train", environment="prod"), "train-1/d", True, id="by claims"),
        pytest.param(who("x", repository="acme/train"), "train-1/d", False, id="by all of them"),
        pytest.param(
            who("x", repository=["acme/train", "y"], environment="prod"), "train-1/d", True, id="by one of a list"
        ),
        pytest.param(who("x", repository="acme/train2", environment="prod"), "train-1/d", False, id="not by half"),
        pytest.param(who("ci", "token"), "anything/at-all", True, id="a static token with a star"),
        pytest.param(who("other", "token"), "research/x", False, id="not a token of another name"),
        pytest.param(who("ci"), "anything/at-all", False, id="nor an identity that is called like a token"),
    ],
)
def test_who_may_use_a_project(identity: Identity, project: str, may: bool) -> None:
    name, _, domain = project.partition("/")
    assert parse(FILE, "rules").caller(identity).may(name, domain) is may


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("[[allow]]\nissuer='https://x'\nsubject='*'\nprojects=['*']", "none of", id="an unknown issuer"),
        pytest.param("[[issuer]]\nurl='https://x'", "audience", id="an issuer without an audience"),
        pytest.param("[[issuer]]\nurl='http://x.example'\naudience=['a']", "not https", id="an issuer over http"),
        pytest.param("[[issuer]]\nurl='http://127.0.0.1.evil.example'\naudience=['a']", "not https", id="or nearly so"),
        pytest.param(
            "[[issuer]]\nurl='https://x'\nkeys='http://x.example'\naudience=['a']",
            "keys: is not https",
            id="or its keys",
        ),
        pytest.param("[[token]]\nname='x'\nsha256='secret'\nprojects=['*']", "64 hex", id="a token that is no hash"),
        pytest.param(f"[[token]]\nname='x'\nsha256='{'a' * 64}'", "projects", id="a token for nothing"),
        pytest.param("[[project]]\nname='x'\nregistries=['UPPER']", "registries", id="a place that is none"),
        pytest.param("[[project]]\nname='x'\nqueued=-1", "whole number", id="a limit below nothing"),
        pytest.param("[[project]]\nname='x'\nqeued=1", "did you mean 'queued'", id="a word that is nearly one"),
        pytest.param("[[alow]]", "did you mean 'allow'", id="a table that is nearly one"),
        pytest.param("", "nobody may", id="an empty file"),
        pytest.param("[", "not TOML", id="a file that is none"),
    ],
)
def test_a_rules_file_is_refused_with(text: str, problem: str) -> None:
    with pytest.raises(InvalidSpec, match=problem):
        parse(text, "rules.toml")


def test_a_rules_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read(tmp_path / "nothing.toml")


@pytest.mark.parametrize(
    ("pattern", "text", "matched"),
    [
        ("*", "", True),
        ("a*", "abc", True),
        ("a*c", "abc", True),
        ("a*c", "abcd", False),
        ("a.c", "abc", False),
        ("[ab]", "a", False),
        ("a?", "ab", False),
        ("a", "a\n", False),
        ("a*", "a\nb", True),
    ],
)
def test_a_pattern_has_one_special_letter(pattern: str, text: str, matched: bool) -> None:
    assert matches(pattern, text) is matched


def policy(project: str) -> Policy:
    rules = parse(FILE, "rules")
    return Policies(registry="ghcr.io/acme", rules=rules.projects, guarded=True).of(project, "development")


@pytest.mark.parametrize(
    ("project", "target", "may"),
    [
        pytest.param("vision", "ghcr.io/acme/vision/train", True, id="its own place"),
        pytest.param("vision", "acme/train", True, id="its place on Docker Hub"),
        pytest.param("vision", "index.docker.io/acme/train", True, id="the same by its other name"),
        pytest.param("vision", "ghcr.io/acme/vision2/train", False, id="not one that begins alike"),
        pytest.param("vision", "ghcr.io/acme/vision", False, id="not the place itself"),
        pytest.param("vision", "ghcr.io/acme/research/train", False, id="not another project's"),
        pytest.param("vision", "localhost:5000/acme/vision/train", False, id="not a neighbour's registry"),
        pytest.param("other", "ghcr.io/acme/other/a/b", True, id="the place of its name, and below"),
        pytest.param("other", "ghcr.io/acme/vision/a", False, id="and no other"),
    ],
)
def test_where_images_of_a_project_go(project: str, target: str, may: bool) -> None:
    if may:
        policy(project).check_target(Repository.parse(target))
    else:
        with pytest.raises(ServiceDenied, match="do not go to"):
            policy(project).check_target(Repository.parse(target))


@pytest.mark.parametrize(
    ("project", "base", "may"),
    [
        pytest.param("vision", "python", True, id="an image of the list"),
        pytest.param("vision", "someone/python", False, id="not one beside it"),
        pytest.param("vision", "ghcr.io/acme/shared/base", True, id="what is shared on purpose"),
        pytest.param("vision", "ghcr.io/acme/vision/own", True, id="its own images"),
        pytest.param("vision", "ghcr.io/acme/other/x", False, id="not another project's images"),
        pytest.param("other", "quay.io/x/y", True, id="public registries, where nothing is said"),
        pytest.param("other", "ghcr.io/flyteorg/flyte", True, id="the SDK's own base"),
        pytest.param("other", "ghcr.io/acme/vision/x", False, id="a public registry's part that is another project's"),
        pytest.param("other", "127.0.0.1:5000/x/y", False, id="not a registry on the service's loopback"),
        pytest.param("other", "169.254.169.254/latest/meta-data", False, id="not the cloud's metadata"),
        pytest.param("other", "registry.internal:5000/x", False, id="not one in the cluster"),
    ],
)
def test_what_a_project_may_build_on(project: str, base: str, may: bool) -> None:
    if may:
        policy(project).check_base(Repository.parse(base))
    else:
        with pytest.raises(ServiceDenied):
            policy(project).check_base(Repository.parse(base))


def test_limits_are_those_of_the_first_rule_that_names_the_project() -> None:
    assert policy("vision").limits == Limits(queued=3, running=1, context_bytes=2 << 20, build_seconds=60)
    assert policy("other").limits == Limits()
    assert policy("vision").registry == "ghcr.io/acme/vision"


def test_a_service_that_asks_nobody_who_they_are_lets_its_one_user_do_what_they_like() -> None:
    free = Policies(registry="ghcr.io/acme").of("p", "d")
    free.check_target(Repository.parse("quay.io/x/y"))
    free.check_base(Repository.parse("127.0.0.1:5000/x"))
    assert free.registry == "ghcr.io/acme"


@pytest.mark.parametrize("text", ["", "/", "a/", "/a", "a/b/c"])
def test_projects_cannot_be_written(text: str) -> None:
    with pytest.raises(InvalidInput):
        Projects.parse(text)


@pytest.mark.parametrize("project", ["Vision", "a..b", "-x"])
def test_a_project_that_no_registry_can_have_a_place_for_is_told(project: str) -> None:
    with pytest.raises(InvalidInput, match="not a registry"):
        policy(project)


def test_a_registry_alone_is_a_place() -> None:
    assert Place.parse("docker.io").holds(Repository.parse("a/b"))
    assert not Place.parse("docker.io/library").holds(Repository.parse("a/b"))


def test_the_rules_in_the_documentation_are_rules() -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/who-may.md").read_text(encoding="utf-8")
    rules = parse(page.split("```toml\n")[1].split("```")[0], "who-may.md")
    builder = who("system:serviceaccount:research:builder", "https://kubernetes.default.svc.cluster.local")
    assert rules.caller(builder).may("research", "production")
    assert not rules.caller(builder).may("vision", "development")
    assert rules.login is not None
    assert Policies(registry="ghcr.io/acme", rules=rules.projects, guarded=True).of("research", "d").limits.running == 4


def test_a_token_is_made_with_the_table_that_knows_it() -> None:
    done = CliRunner().invoke(token, ["ci", "--project", "p/development"])
    rules = parse(done.stderr, "stderr")
    caller = rules.caller(Tokens(rules).identify(done.stdout.strip()))
    assert caller.may("p", "development")
    assert not caller.may("p", "production")
