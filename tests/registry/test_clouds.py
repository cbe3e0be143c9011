"""The clouds' own identities: real libraries, stand-ins for what answers them, a real registry behind the names."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from tests.registry.doubles import FaultyRegistry, Says, Seen
from tests.registry.images import package_of
from tests.registry.servers import Authority, docker_registry, htpasswd
from tests.registry.tunnel import Tunnel, tunnel_to

from flyte_build.registry.client import RegistryClient
from flyte_build.registry.clouds import azure, google
from flyte_build.registry.clouds.identity import CloudIdentity
from flyte_build.registry.ecr import NewRepository, ensure_repository
from flyte_build.registry.errors import InvalidInput, RegistryDenied, RegistryProtocol
from flyte_build.registry.identity import Credentials
from flyte_build.registry.names import ImageName, Registry, Repository, Target
from flyte_build.registry.options import RegistryOptions
from flyte_build.registry.transfer import push_package
from flyte_build.registry.wire import Request, Response

ECR = Registry.parse("123456789012.dkr.ecr.eu-west-1.amazonaws.com")
GOOGLE = Registry.parse("europe-west1-docker.pkg.dev")
ACR = Registry.parse("acme.azurecr.io")
PUBLIC = Registry.parse("public.ecr.aws")
QUICK = RegistryOptions(backoff=0.001)


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No identity of this machine's own; each test gives one."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "GCE_", "AZURE_", "IDENTITY_", "CLOUDSDK_", "MSI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    with mock_aws():
        yield


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tunnel, Path]]:
    """A real registry with TLS that answers under the clouds' names, through a proxy that leads there."""
    root = tmp_path_factory.mktemp("clouds")
    authority = Authority.make(root, ECR.host, GOOGLE.host)
    tls = {"certificate": str(root / "server.pem"), "key": str(root / "server.key")}
    with contextlib.ExitStack() as stack:
        registry = stack.enter_context(docker_registry(root, http={"tls": tls}, auth=htpasswd(root)))
        places = {f"{one}:443": registry.host for one in (ECR, GOOGLE)}
        yield stack.enter_context(tunnel_to(places, "p ss")), authority.ca


def quoted(tunnel: Tunnel) -> dict[str, str]:
    return {name: value.replace(" ", "%20") for name, value in tunnel.environ.items()}


@pytest.mark.real
def test_an_image_is_pushed_to_ecr_with_the_identity_of_the_machine(
    aws: None, behind: tuple[Tunnel, Path], fresh_name: str
) -> None:
    tunnel, ca = behind
    client = RegistryClient(None, RegistryOptions(ca_bundle=ca, backoff=0.001), quoted(tunnel))
    repository = Repository(ECR, f"acme/{fresh_name}")
    client.push_check(repository)
    pushed = push_package(client, package_of(b"x"), Target(repository, ("v1",)))
    found = client.find(ImageName(repository, "v1"))
    assert found is not None
    assert found.reference == pushed.reference
    assert set(tunnel.asked) == {f"{ECR}:443"}


@pytest.mark.real
def test_without_an_identity_ecr_says_so(behind: tuple[Tunnel, Path]) -> None:
    tunnel, ca = behind
    client = RegistryClient(None, RegistryOptions(ca_bundle=ca, backoff=0.001), quoted(tunnel))
    with pytest.raises(RegistryDenied, match=rf"cannot push to {ECR}/acme/x: {ECR} answered 401 .* to anonymous"):
        client.push_check(Repository(ECR, "acme/x"))


def test_a_password_of_ecr_says_whose_it_is_and_when_it_ends(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = CloudIdentity().for_registry(ECR)
    assert found is not None
    assert (found.username, found.password) == ("AWS", "123456789012-auth-token")
    assert found.expires_at is not None
    assert "token" not in str(found)


def test_the_public_registry_is_asked_in_its_one_region(
    faulty: FaultyRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECR_PUBLIC", faulty.url)
    ends = float(int(time.time()) + 12 * 3600)
    token = base64.b64encode(b"AWS:a:b").decode()
    answer = json.dumps({"authorizationData": {"authorizationToken": token, "expiresAt": ends}})
    faulty.says("/", Says(200, answer.encode(), (("content-type", "application/x-amz-json-1.1"),)))
    identity = CloudIdentity()
    found = identity.for_registry(PUBLIC)
    assert found == Credentials(source="AWS", username="AWS", password="a:b", expires_at=ends)
    assert identity.for_registry(PUBLIC) == found
    assert len(faulty.seen) == 1
    assert "us-east-1" in faulty.seen[0].headers["authorization"]


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        pytest.param(
            400,
            b'{"__type":"AccessDeniedException","message":"not authorized to perform: ecr"}',
            RegistryDenied,
            "AWS refused get_authorization_token for .*: AccessDeniedException: not authorized",
            id="not for this identity",
        ),
        pytest.param(200, b'{"authorizationData":[]}', InvalidInput, "gave no password", id="an empty answer"),
        pytest.param(
            200, b'{"authorizationData":[{"authorizationToken":"/w=="}]}', InvalidInput, "cannot be read", id="nonsense"
        ),
    ],
)
def test_what_aws_refuses_is_one_sentence(
    faulty: FaultyRegistry, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, kind: type[Exception], said: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", faulty.url)
    faulty.says("/", Says(status, body, (("content-type", "application/x-amz-json-1.1"),)))
    with pytest.raises(kind, match=said) as caught:
        CloudIdentity().for_registry(ECR)
    assert "s3cret" not in str(caught.value)


def test_a_profile_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    with pytest.raises(InvalidInput, match=r"at AWS cannot be used for .*nowhere"):
        CloudIdentity().for_registry(ECR)


def test_a_repository_is_created_once_with_tags_and_lifecycle(aws: None) -> None:
    repository = Repository(ECR, "acme/train")
    new = NewRepository(tags={"team": "ml", "cost": "42"}, untagged_days=14)
    assert [ensure_repository(repository, new), ensure_repository(repository, NewRepository())] == [True, False]
    ecr = boto3.client("ecr", region_name="eu-west-1")
    (made,) = ecr.describe_repositories()["repositories"]
    assert made["repositoryUri"] == str(repository)
    tags = ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "ml", "cost": "42"}
    policy = json.loads(ecr.get_lifecycle_policy(repositoryName="acme/train")["lifecyclePolicyText"])
    (rule,) = policy["rules"]
    assert (rule["selection"]["tagStatus"], rule["selection"]["countNumber"]) == ("untagged", 14)


def test_repositories_are_created_at_ecr_only() -> None:
    with pytest.raises(InvalidInput, match=r"ghcr\.io is not ECR"):
        ensure_repository(Repository.parse("ghcr.io/acme/x"), NewRepository())
    with pytest.raises(RegistryDenied, match="this machine has no identity at AWS"):
        ensure_repository(Repository(ECR, "acme/x"), NewRepository())


def metadata(faulty: FaultyRegistry, token: Callable[[Seen], Says]) -> None:
    """Google's metadata server (Google, "About VM metadata")."""
    flavor = (("metadata-flavor", "Google"), ("content-type", "application/json"))
    account = json.dumps({"email": "robot@acme.test", "scopes": [], "aliases": ["default"]}).encode()
    root = "/computeMetadata/v1"
    faulty.says("/", Says(200, b"", flavor))
    faulty.says(f"{root}/project/project-id", Says(200, b"acme", (flavor[0], ("content-type", "application/text"))))
    faulty.says(f"{root}/instance/service-accounts/default/", Says(200, account, flavor))
    for who in ("default", "robot@acme.test"):
        faulty.says(f"{root}/instance/service-accounts/{who}/token", token)


def access(token: str) -> Says:
    body = json.dumps({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}).encode()
    return Says(200, body, (("metadata-flavor", "Google"), ("content-type", "application/json")))


SCRIPT = """
import os, sys
from pathlib import Path
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.credentials import default_credentials
from flyte_build.registry.names import Registry, Repository
from flyte_build.registry.options import RegistryOptions
host, ca = sys.argv[1:]
print(default_credentials().for_registry(Registry.parse(host)))
RegistryClient(None, RegistryOptions(ca_bundle=Path(ca))).push_check(Repository.parse(f"{host}/acme/x/y"))
print("pushed")
"""


def program(tmp_path: Path, ca: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """In a process of its own: Google's library reads its settings when it is imported."""
    command = [sys.executable, "-c", SCRIPT, GOOGLE.host, str(ca)]
    base = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environ = {**base, "HOME": str(tmp_path), **environ}
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env=environ)


@pytest.mark.real
def test_the_metadata_server_says_who_we_are_at_google(
    faulty: FaultyRegistry, behind: tuple[Tunnel, Path], tmp_path: Path
) -> None:
    tunnel, ca = behind
    metadata(faulty, lambda seen: access("ya29.first"))
    where = f"127.0.0.1:{faulty.port}"
    done = program(tmp_path, ca, {**quoted(tunnel), "GCE_METADATA_HOST": where, "GCE_METADATA_IP": where})
    assert done.stdout.splitlines() == ["oauth2accesstoken (from Google (robot@acme.test))", "pushed"], done.stderr
    assert "ya29" not in done.stdout + done.stderr


@pytest.mark.real
def test_a_service_accounts_file_says_who_we_are_at_google(
    faulty: FaultyRegistry, behind: tuple[Tunnel, Path], tmp_path: Path
) -> None:
    tunnel, ca = behind
    faulty.says("/token", access("ya29.first"))
    key = subprocess.run(["openssl", "genrsa", "2048"], check=True, capture_output=True, text=True, timeout=60).stdout
    account = {
        "type": "service_account",
        "client_email": "ci@acme.test",
        "private_key": key,
        "token_uri": f"{faulty.url}/token",
    }
    path = tmp_path / "account.json"
    path.write_text(json.dumps(account))
    done = program(tmp_path, ca, {**quoted(tunnel), "GOOGLE_APPLICATION_CREDENTIALS": str(path)})
    assert done.stdout.splitlines() == ["oauth2accesstoken (from Google (ci@acme.test))", "pushed"], done.stderr


def test_somewhere_else_google_is_not_waited_for() -> None:
    start = time.monotonic()
    assert google.credentials(GOOGLE, dict(os.environ)) is None
    assert time.monotonic() - start < 3


def test_a_broken_file_for_google_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "account.json"
    path.write_text("{}")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(InvalidInput, match="GOOGLE_APPLICATION_CREDENTIALS cannot be used for"):
        google.credentials(GOOGLE, dict(os.environ))


class Exchange:
    """What a registry of Azure's answers, and what it was asked."""

    def __init__(self, status: int, body: bytes) -> None:
        self.answer = Response(status=status, headers={}, body=body, url=f"https://{ACR}/oauth2/exchange")
        self.asked: list[Request] = []

    def send(self, request: Request) -> Response:
        self.asked.append(request)
        return self.answer


def jwt(**claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{body}.c2ln"


def test_an_identity_of_azures_is_exchanged_for_the_registrys(
    faulty: FaultyRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{faulty.url}/msi")
    monkeypatch.setenv("IDENTITY_HEADER", "h")
    ends = int(time.time()) + 3600
    msi = json.dumps({"access_token": "entra", "expires_on": str(ends), "resource": "x", "token_type": "Bearer"})
    faulty.says("/msi", Says(200, msi.encode(), (("content-type", "application/json"),)))
    exchange = Exchange(200, json.dumps({"refresh_token": jwt(exp=ends)}).encode())
    monkeypatch.setattr(azure, "Retrying", lambda *_: exchange)
    found = azure.credentials(ACR, dict(os.environ))
    assert not logging.getLogger("azure.identity").isEnabledFor(logging.ERROR)  # its paragraphs are not for users
    assert found is not None
    assert (found.identity_token, found.expires_at) == (jwt(exp=ends), float(ends))
    assert (exchange.asked[0].body or b"") == (b"grant_type=access_token&service=acme.azurecr.io&access_token=entra")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        pytest.param(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}', RegistryDenied, id="refused"),
        pytest.param(200, b"{}", RegistryProtocol, id="nothing"),
        pytest.param(200, b"<html>", RegistryProtocol, id="a page"),
    ],
)
def test_an_exchange_that_fails_is_one_sentence(status: int, body: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"acme\.azurecr\.io"):
        azure.exchange(ACR, "s3cret", Exchange(status, body))


@pytest.mark.parametrize("token", ["x", "a.b.c", jwt(), jwt(exp="soon"), "a.W10.c"])
def test_a_token_that_says_no_end_has_none(token: str) -> None:
    found = azure.exchange(ACR, "x", Exchange(200, json.dumps({"refresh_token": token}).encode()))
    assert found.expires_at is None


@pytest.mark.parametrize(
    ("registry", "blocked", "extra"),
    [
        pytest.param(ECR, "boto3", "aws", id="AWS"),
        pytest.param(GOOGLE, "google.auth", "gcp", id="Google"),
        pytest.param(ACR, "azure.identity", "azure", id="Azure"),
    ],
)
def test_a_package_that_is_missing_is_named(
    registry: Registry, blocked: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "x")
    monkeypatch.setitem(sys.modules, blocked, None)
    with pytest.raises(InvalidInput, match="which is not installed") as caught:
        CloudIdentity().for_registry(registry)
    assert f"pip install 'flyte-build[{extra}]'" in caught.value.hint


@pytest.mark.parametrize(
    ("host", "environ", "who"),
    [
        pytest.param(
            "ghcr.io", {"GITHUB_TOKEN": "t", "GITHUB_ACTOR": "octocat"}, "octocat (from GITHUB_TOKEN)", id="1"
        ),
        pytest.param("ghcr.io", {"GH_TOKEN": "t"}, "flyte-build (from GH_TOKEN)", id="GitHub's own command line"),
        pytest.param("ghcr.io", {"CR_PAT": "t"}, "flyte-build (from CR_PAT)", id="a personal access token"),
        pytest.param("ghcr.io", {"GITHUB_TOKEN": " "}, "None", id="an empty variable"),
        pytest.param(
            "docker.io",
            {"DOCKERHUB_USERNAME": "u", "DOCKERHUB_TOKEN": "t"},
            "u (from DOCKERHUB_TOKEN)",
            id="Docker Hub",
        ),
        pytest.param("docker.io", {"DOCKERHUB_TOKEN": "t"}, "None", id="half of Docker Hub"),
        pytest.param("quay.io", {"GITHUB_TOKEN": "t", "DOCKERHUB_TOKEN": "t"}, "None", id="somebody else"),
    ],
)
def test_tokens_of_the_environment(host: str, environ: dict[str, str], who: str) -> None:
    assert str(CloudIdentity(environ).for_registry(Registry.parse(host))) == who
