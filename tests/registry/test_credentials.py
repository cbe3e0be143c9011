"""Credentials: the environment, Docker's config.json, and real helper programs written by the test."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path

import pytest

from flyte_build.registry.credentials import EnvironmentCredentials, SecretCredentials, default_credentials
from flyte_build.registry.docker_config import DockerConfig, config_key
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.helpers import ask_helper
from flyte_build.registry.identity import Credentials
from flyte_build.registry.names import Registry

GHCR = Registry.parse("ghcr.io")
HUB = Registry.parse("docker.io")
AUTH = base64.b64encode(b"alice:s3:cret").decode()


class Home:
    """A home directory with a config.json and helpers on PATH."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.bin.mkdir()
        self.environ = {"HOME": str(root), "PATH": f"{self.bin}:{os.environ['PATH']}"}

    def config(self, document: object, directory: str = ".docker") -> None:
        (self.root / directory).mkdir(exist_ok=True)
        text = document if isinstance(document, str) else json.dumps(document)
        (self.root / directory / "config.json").write_text(text)

    def helper(self, name: str, script: str) -> None:
        path = self.bin / f"docker-credential-{name}"
        path.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def find(self, registry: Registry) -> Credentials | None:
        return DockerConfig(self.environ).for_registry(registry)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.mark.parametrize(
    ("registry", "auths", "username", "password", "token"),
    [
        pytest.param(GHCR, {"ghcr.io": {"auth": AUTH}}, "alice", "s3:cret", "", id="base64, a colon in the password"),
        pytest.param(GHCR, {"https://ghcr.io": {"auth": AUTH}}, "alice", "s3:cret", "", id="a key with a scheme"),
        pytest.param(GHCR, {"https://ghcr.io/v2/": {"auth": AUTH}}, "alice", "s3:cret", "", id="a key with a path"),
        pytest.param(
            GHCR, {"ghcr.io": {"username": "bob", "password": "pw"}}, "bob", "pw", "", id="written out, without base64"
        ),
        pytest.param(
            GHCR, {"ghcr.io": {"auth": AUTH, "identitytoken": "tok"}}, "alice", "s3:cret", "tok", id="an identity token"
        ),
        pytest.param(HUB, {"https://index.docker.io/v1/": {"auth": AUTH}}, "alice", "s3:cret", "", id="Hub's key"),
        pytest.param(HUB, {"docker.io": {"auth": AUTH}}, "alice", "s3:cret", "", id="Docker Hub by its name"),
        pytest.param(
            GHCR,
            {"https://ghcr.io": {"username": "x", "password": "y"}, "ghcr.io": {"auth": AUTH}},
            "alice",
            "s3:cret",
            "",
            id="the exact key wins",
        ),
    ],
)
def test_auths_are_read(
    home: Home, registry: Registry, auths: object, username: str, password: str, token: str
) -> None:
    home.config({"auths": auths})
    found = home.find(registry)
    assert found == Credentials(
        source="~/.docker/config.json", username=username, password=password, identity_token=token
    )


@pytest.mark.parametrize(
    "document",
    [
        pytest.param("", id="an empty file"),
        pytest.param({}, id="an empty object"),
        pytest.param({"auths": {}}, id="nobody logged in"),
        pytest.param({"auths": {"ghcr.io": {}}}, id="an entry that a store emptied"),
        pytest.param({"auths": {"ghcr.io.evil.test": {"auth": AUTH}}}, id="a longer host"),
        pytest.param({"auths": {"ghcr.io:444": {"auth": AUTH}}}, id="another port"),
        pytest.param({"auths": None, "credHelpers": []}, id="fields of other types"),
    ],
)
def test_nothing_for_this_registry_is_anonymous(home: Home, document: object) -> None:
    home.config(document)
    assert home.find(GHCR) is None


def test_no_file_is_anonymous(home: Home) -> None:
    assert home.find(GHCR) is None


def test_the_directory_can_be_named(home: Home) -> None:
    home.config({"auths": {"ghcr.io": {"auth": AUTH}}}, "elsewhere")
    home.environ["DOCKER_CONFIG"] = str(home.root / "elsewhere")
    found = home.find(GHCR)
    assert found is not None
    assert found.source == "~/elsewhere/config.json"


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        pytest.param('{"auths": {"ghcr.io": s3cret', "is not valid JSON (line 1)", id="cut off"),
        pytest.param("[]", "is not a JSON object", id="a list"),
        pytest.param({"auths": {"ghcr.io": {"auth": "s3cret!"}}}, "entry for ghcr.io", id="not base64"),
        pytest.param({"auths": {"ghcr.io": {"auth": "czNjcmV0"}}}, "entry for ghcr.io", id="no colon inside"),
        pytest.param({"auths": {"ghcr.io": {"auth": 7}}}, "entry for ghcr.io", id="a number"),
        pytest.param({"auths": {"ghcr.io": {"auth": "/w=="}}}, "entry for ghcr.io", id="not UTF-8"),
    ],
)
def test_a_broken_file_is_one_sentence_without_its_content(home: Home, document: object, sentence: str) -> None:
    home.config(document)
    with pytest.raises(InvalidInput) as caught:
        home.find(GHCR)
    assert sentence in str(caught.value)
    assert "~/.docker/config.json" in str(caught.value)
    assert "s3cret" not in f"{caught.value}{caught.value.hint}"
    assert caught.value.__cause__ is None


def test_a_directory_in_its_place_is_one_sentence(home: Home) -> None:
    (home.root / ".docker" / "config.json").mkdir(parents=True)
    with pytest.raises(InvalidInput, match=r"cannot read ~/\.docker/config\.json: is a directory"):
        home.find(GHCR)


ECHO = """read -r key
test "$1" = get && printf '{"ServerURL":"%s","Username":"%s","Secret":"pw"}' "$key" "$key" """


@pytest.mark.parametrize(
    ("document", "registry", "username"),
    [
        pytest.param({"credHelpers": {"ghcr.io": "echo"}}, GHCR, "ghcr.io", id="the registry's own helper"),
        pytest.param({"credsStore": "echo"}, GHCR, "ghcr.io", id="the store for all"),
        pytest.param({"credsStore": "echo"}, HUB, "https://index.docker.io/v1/", id="Docker Hub's key is a URL"),
        pytest.param(
            {"credsStore": "nothere", "credHelpers": {"ghcr.io": "echo"}}, GHCR, "ghcr.io", id="its own comes first"
        ),
    ],
)
def test_helpers_are_asked(home: Home, document: object, registry: Registry, username: str) -> None:
    home.helper("echo", ECHO)
    home.config(document)
    expected = Credentials(source="docker-credential-echo", username=username, password="pw")
    assert home.find(registry) == expected


def test_a_helper_may_give_an_identity_token(home: Home) -> None:
    home.helper("tok", """cat >/dev/null; echo '{"Username":"<token>","Secret":"refresh"}'""")
    home.config({"credsStore": "tok"})
    assert home.find(GHCR) == Credentials(source="docker-credential-tok", identity_token="refresh")


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("echo 'credentials not found in native keychain'; exit 1", id="as the protocol says it"),
        pytest.param("""echo '{"Username":"","Secret":""}'""", id="an empty answer"),
    ],
)
def test_a_helper_that_has_nothing_leaves_it_to_auths(home: Home, script: str) -> None:
    home.helper("empty", script)
    home.config({"credsStore": "empty", "auths": {"ghcr.io": {"auth": AUTH}}})
    found = home.find(GHCR)
    assert found is not None
    assert (found.username, found.source) == ("alice", "~/.docker/config.json")
    assert home.find(HUB) is None


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        pytest.param(
            "echo 'the keychain is locked'; exit 1", "failed for ghcr.io: the keychain is locked", id="says why"
        ),
        pytest.param("""echo '{"Secret":"s3cret"}'; exit 1""", "failed for ghcr.io", id="fails with an answer"),
        pytest.param("echo '{\"Secret\": s3cret'", "failed for ghcr.io", id="answers half"),
        pytest.param("echo '[1]'", "failed for ghcr.io: its answer is not the JSON", id="answers a list"),
        pytest.param("echo s3cret", "failed for ghcr.io: its answer is not the JSON", id="answers the bare secret"),
        pytest.param("echo '<html>s3cret'", "failed for ghcr.io: it answered with an HTML page", id="answers a page"),
        pytest.param("#!/no/such/program", "cannot be started: no such file", id="names a program that is not there"),
        pytest.param("echo s3cret >&2; exit 3", "failed for ghcr.io", id="complains on standard error"),
        pytest.param("exec yes", "answered more than 65,536 bytes", id="never stops answering"),
    ],
)
def test_a_helper_that_fails_is_one_sentence(home: Home, script: str, sentence: str) -> None:
    home.helper("bad", script)
    home.config({"credsStore": "bad"})
    with pytest.raises(InvalidInput) as caught:
        home.find(GHCR)
    assert sentence in str(caught.value)
    assert "s3cret" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize("name", ["nothere", "../../evil", "a/b", "-x"])
def test_a_helper_that_is_not_there_is_one_sentence(home: Home, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A name with a slash would be looked for beside the user, not on PATH.
    (home.root / "docker-credential-a").mkdir()
    (home.root / "docker-credential-a" / "b").symlink_to("/bin/true")
    monkeypatch.chdir(home.root)
    home.config({"credsStore": name})
    with pytest.raises(InvalidInput, match=r"~/\.docker/config\.json names the credential helper .* not on PATH"):
        home.find(GHCR)


def test_a_helper_that_hangs_is_stopped_with_its_children(home: Home) -> None:
    pid = home.root / "pid"
    home.helper("slow", f"sleep 60 & echo $! > {pid}; wait")
    start = time.monotonic()
    with pytest.raises(InvalidInput, match=r"did not answer within 0\.5 s"):
        ask_helper("slow", "ghcr.io", source="x", environ=home.environ, timeout=0.5)
    assert time.monotonic() - start < 30
    assert not _runs(int(pid.read_text()))


def _runs(pid: int) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        state = Path(f"/proc/{pid}/stat")
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        # A child that nobody waits for stays as a zombie under some init processes: it runs no more.
        if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        time.sleep(0.02)
    return True


ENVIRON = {
    "FLYTE_BUILD_REGISTRY_HOST": "ghcr.io",
    "FLYTE_BUILD_REGISTRY_USERNAME": "ci",
    "FLYTE_BUILD_REGISTRY_PASSWORD": "s3cret",
}


def test_the_environment_comes_first_and_only_for_its_registry(home: Home) -> None:
    home.config({"auths": {"ghcr.io": {"auth": AUTH}, "quay.io": {"auth": AUTH}}})
    source = default_credentials({**home.environ, **ENVIRON})
    assert [str(source.for_registry(Registry.parse(host))) for host in ("ghcr.io", "quay.io", "docker.io")] == [
        "ci (from FLYTE_BUILD_REGISTRY_USERNAME)",
        "alice (from ~/.docker/config.json)",
        "None",
    ]


@pytest.mark.parametrize("name", list(ENVIRON))
def test_an_incomplete_environment_is_refused(name: str) -> None:
    environ = {key: value for key, value in ENVIRON.items() if key != name}
    with pytest.raises(InvalidInput, match=f"{name} not set"):
        EnvironmentCredentials(environ).for_registry(GHCR)


def test_no_text_of_credentials_holds_a_secret() -> None:
    credentials = Credentials(source="x", username="alice", password="s3cret", identity_token="s3cret")
    assert "s3cret" not in f"{credentials}{credentials!r}"


def test_the_key_of_a_registry_is_dockers() -> None:
    assert [config_key(one) for one in (GHCR, HUB)] == ["ghcr.io", "https://index.docker.io/v1/"]


def test_a_registry_secret_is_what_docker_login_writes_and_starts_no_helper(home: Home) -> None:
    home.helper("evil", "touch $HOME/ran; echo '{}'")
    document = {"auths": {"ghcr.io": {"auth": AUTH}}, "credsStore": "evil", "credHelpers": {"docker.io": "evil"}}
    source = SecretCredentials(json.dumps(document).encode(), "pull")
    found = source.for_registry(GHCR)
    assert found is not None
    assert str(found) == "alice (from the registry secret 'pull')"
    assert source.for_registry(HUB) is None
    assert not (home.root / "ran").exists()


def test_a_registry_secret_that_is_none_is_said_without_its_value() -> None:
    with pytest.raises(InvalidInput, match="the registry secret 'pull' is not valid JSON") as caught:
        SecretCredentials(b"hunter2", "pull").for_registry(GHCR)
    assert "hunter2" not in f"{caught.value}{caught.value.hint}"
