"""In which order credentials are looked for, and what is said of each place."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from tests.registry.doubles import QUICK, FaultyRegistry, Known, Says, name_in, serve_image
from tests.registry.images import config_of

from flyte_build.registry.client import RegistryClient
from flyte_build.registry.clouds.hosts import cloud_of
from flyte_build.registry.containers_auth import ContainersAuth
from flyte_build.registry.credentials import default_credentials
from flyte_build.registry.errors import InvalidInput, RegistryDenied
from flyte_build.registry.identity import Chain, Credentials
from flyte_build.registry.known import Identities
from flyte_build.registry.names import Registry

RUN = "~/run/containers/auth.json"
GHCR = Registry.parse("ghcr.io")


def auth(user: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:s3cret".encode()).decode()}


def write(path: Path, **document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


class Home:
    """Every place at once; a test takes away from the front."""

    def __init__(self, root: Path) -> None:
        self.docker = root / ".docker" / "config.json"
        self.runtime = root / "run" / "containers" / "auth.json"
        self.podman = root / ".config" / "containers" / "auth.json"
        self.environ = {
            "HOME": str(root),
            "XDG_RUNTIME_DIR": str(root / "run"),
            "FLYTE_BUILD_REGISTRY_HOST": "ghcr.io",
            "FLYTE_BUILD_REGISTRY_USERNAME": "explicit",
            "FLYTE_BUILD_REGISTRY_PASSWORD": "s3cret",
            "GITHUB_TOKEN": "s3cret",
            "GITHUB_ACTOR": "octocat",
        }
        write(self.docker, auths={"ghcr.io": auth("docker")})
        write(self.runtime, auths={"ghcr.io": auth("runtime")})
        write(self.podman, auths={"ghcr.io": auth("podman")})

    def who(self) -> str:
        found = default_credentials(self.environ).for_registry(GHCR)
        return found.username if found else ""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_places_are_asked_in_order(home: Home) -> None:
    seen = [home.who()]
    for name in ("HOST", "USERNAME", "PASSWORD"):
        del home.environ[f"FLYTE_BUILD_REGISTRY_{name}"]
    seen.append(home.who())
    for path in (home.docker, home.runtime, home.podman):
        path.unlink()
        seen.append(home.who())
    del home.environ["GITHUB_TOKEN"]
    seen.append(home.who())
    assert seen == ["explicit", "docker", "runtime", "podman", "octocat", ""]


def test_every_place_says_what_it_has_and_never_the_value(home: Home) -> None:
    home.docker.write_text("{")
    said = [str(looked) for looked in default_credentials(home.environ).look(GHCR)]
    assert said == [
        "the environment (FLYTE_BUILD_REGISTRY_…): explicit (from FLYTE_BUILD_REGISTRY_USERNAME)",
        "Docker's configuration ~/.docker/config.json: ~/.docker/config.json is not valid JSON (line 1)",
        f"podman's {RUN} and ~/.config/containers/auth.json: runtime (from {RUN})",
        "the cloud's own identity: octocat (from GITHUB_TOKEN)",
    ]
    assert "s3cret" not in "".join(said)


def test_a_named_auth_file_is_the_only_one_of_podmans(home: Home, tmp_path: Path) -> None:
    write(tmp_path / "named.json", auths={"ghcr.io": auth("named")})
    home.environ["REGISTRY_AUTH_FILE"] = str(tmp_path / "named.json")
    found = ContainersAuth(home.environ).for_registry(GHCR)
    assert found is not None
    assert found.username == "named"
    (tmp_path / "named.json").unlink()
    assert ContainersAuth(home.environ).for_registry(GHCR) is None


@pytest.mark.parametrize(
    ("auths", "who"),
    [
        pytest.param(["ghcr.io/acme"], "ghcr.io/acme", id="the only one for a part"),
        pytest.param(["ghcr.io/acme", "ghcr.io"], "ghcr.io", id="the whole before a part"),
        pytest.param(["ghcr.io/acme", "https://ghcr.io/v2/"], "https", id="an API's path is the whole"),
    ],
)
def test_podmans_entries_for_a_part_of_a_registry(home: Home, auths: list[str], who: str) -> None:
    write(home.runtime, auths={key: auth(key) for key in auths})
    home.podman.unlink()
    found = ContainersAuth(home.environ).for_registry(GHCR)
    assert (found.username if found else "") == who


def test_podmans_entries_for_several_parts_are_said_and_none_is_guessed(home: Home) -> None:
    write(home.podman, auths={key: auth(key) for key in ("ghcr.io/acme", "ghcr.io/other", "quay.io/x")})
    home.runtime.unlink()
    with pytest.raises(InvalidInput, match=r"for parts of ghcr\.io only \(ghcr\.io/acme, ghcr\.io/other\)") as caught:
        ContainersAuth(home.environ).for_registry(GHCR)
    assert "--username" in caught.value.hint
    write(home.podman, auths={key: auth("the same") for key in ("ghcr.io/acme", "ghcr.io/other")})
    found = ContainersAuth(home.environ).for_registry(GHCR)
    assert found is not None
    assert found.username == "the same"


class Broken:
    """A place that cannot be read."""

    name = "a broken place"

    def for_registry(self, registry: Registry) -> Credentials | None:
        raise InvalidInput("the helper docker-credential-x is not on PATH", hint="install it")


class Found(Known):
    """A place that knows."""

    name = "a good place"


ALICE = Credentials(source="a test", username="alice", password="s3cret")


def test_a_place_that_fails_does_not_hide_the_next() -> None:
    assert Chain((Broken(), Found(ALICE))).for_registry(GHCR) == ALICE


def test_and_is_told_when_nobody_else_knows() -> None:
    with pytest.raises(InvalidInput, match="docker-credential-x"):
        Chain((Broken(), Found())).for_registry(GHCR)


BASIC = (("www-authenticate", 'Basic realm="x"'),)


def test_what_is_public_is_read_in_spite_of_a_broken_helper(faulty: FaultyRegistry) -> None:
    serve_image(faulty, "acme/x", "v1", config_of())
    faulty.says("/v2/", Says(401, b"", BASIC))
    assert RegistryClient(Chain((Broken(),)), QUICK, {}).find(name_in(faulty))


def test_a_refusal_says_that_the_helper_is_broken(faulty: FaultyRegistry) -> None:
    faulty.says("/v2/", Says(401, b"", BASIC))
    faulty.says("/v2/acme/x/manifests/v1", Says(401, b"", BASIC))
    with pytest.raises(
        RegistryDenied, match=r"401 .* to anonymous, because the helper docker-credential-x is not on"
    ) as said:
        RegistryClient(Chain((Broken(),)), QUICK, {}).find(name_in(faulty))
    # Another login would not mend what is broken.
    assert "docker login" not in said.value.hint


def test_nobody_pushes_as_nobody_because_of_a_broken_helper(faulty: FaultyRegistry) -> None:
    faulty.says("/v2/", Says(401, b"", BASIC))
    with pytest.raises(InvalidInput, match="docker-credential-x"):
        RegistryClient(Chain((Broken(),)), QUICK, {}).push_check(name_in(faulty).repository)


class Rotating:
    """Gives a new password each time, that lives so many seconds."""

    def __init__(self, life: float) -> None:
        self.life = life
        self.now = 1000.0
        self.given = 0

    def for_registry(self, registry: Registry) -> Credentials:
        self.given += 1
        return Credentials(source="x", username="AWS", password=f"p{self.given}", expires_at=self.now + self.life)


def test_what_expires_is_asked_for_again_shortly_before() -> None:
    source = Rotating(3600)
    identities = Identities(source, lambda: source.now)
    given = []
    for later in (0, 3000, 3550, 3600):
        source.now = 1000.0 + later
        found = identities.of(GHCR, must=True)
        given.append(found.password if found else "")
    assert given == ["p1", "p1", "p2", "p2"]


def test_what_was_taken_back_early_is_asked_for_again(faulty: FaultyRegistry) -> None:
    serve_image(faulty, "acme/x", "v1", config_of())
    image = faulty.answers["/v2/acme/x/manifests/v1"][0]
    assert isinstance(image, Says)
    second = "Basic " + base64.b64encode(b"AWS:p2").decode()
    faulty.says("/v2/", Says(401, b"", BASIC))
    refused = Says(401, b"", BASIC)
    faulty.says(
        "/v2/acme/x/manifests/v1",
        lambda seen: image if seen.headers.get("authorization") == second else refused,
    )
    source = Rotating(10**10)
    assert RegistryClient(source, QUICK, {}).find(name_in(faulty))
    assert source.given == 2


@pytest.mark.parametrize(
    ("host", "cloud"),
    [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "AWS"),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "AWS"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "AWS"),
        ("123456789012.dkr-ecr.us-west-2.on.aws", "AWS"),
        ("public.ecr.aws", "AWS"),
        ("gcr.io", "Google"),
        ("eu.gcr.io", "Google"),
        ("europe-west1-docker.pkg.dev", "Google"),
        ("acme.azurecr.io", "Azure"),
        ("ghcr.io", "GitHub"),
        ("docker.io", "Docker Hub"),
        ("quay.io", ""),
        ("127.0.0.1:5000", ""),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.test", ""),
        ("evilgcr.io", ""),
        ("gcr.io.evil.test", ""),
        ("docker.pkg.dev.evil.test", ""),
        ("acme.azurecr.io.evil.test", ""),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com:444", ""),
    ],
)
def test_a_cloud_is_known_by_the_whole_host(host: str, cloud: str) -> None:
    found = cloud_of(Registry.parse(host))
    assert (found.name if found else "") == cloud
