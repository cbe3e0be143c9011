"""Challenges, tokens, and who gets to see what we know."""

from __future__ import annotations

import base64
import json
import time
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.registry.doubles import FaultyRegistry, Known, Says, Seen, faulty_registry, name_in, serve_image
from tests.registry.images import config_of

from flyte_build.registry.challenge import Challenge
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.errors import (
    RegistryDenied,
    RegistryError,
    RegistryProtocol,
    RegistryUnavailable,
    RegistryUntrusted,
)
from flyte_build.registry.guard import Guard
from flyte_build.registry.identity import Credentials
from flyte_build.registry.names import Registry
from flyte_build.registry.options import RegistryOptions
from flyte_build.registry.tokens import Tokens
from flyte_build.registry.transport import HttpTransport

OPTIONS = RegistryOptions(backoff=0.001, token_timeout=0.5, patience=1)
ALICE = Credentials(source="a test", username="alice", password="s3cret")
REFRESH = Credentials(source="a test", identity_token="refresh-s3cret")
V1 = "/v2/acme/x/manifests/v1"


@pytest.fixture(autouse=True)
def image(faulty: FaultyRegistry) -> None:
    serve_image(faulty, "acme/x", "v1", config_of())


def guarded(faulty: FaultyRegistry, challenge: str, *accepted: str) -> None:
    """Everything below /v2/ wants one of these Authorization values."""
    refused = Says(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}', (("www-authenticate", challenge),))
    for path, answers in list(faulty.answers.items()):
        allowed = answers[0]
        if path.startswith("/v2/") and isinstance(allowed, Says):
            faulty.says(path, partial(_guard, allowed, refused, accepted))


def _guard(allowed: Says, refused: Says, accepted: tuple[str, ...], seen: Seen) -> Says:
    return allowed if seen.headers.get("authorization") in accepted else refused


def bearer(faulty: FaultyRegistry, realm: str = "") -> str:
    return f'Bearer realm="{realm or faulty.url + "/token"}",service="reg.test"'


def find(faulty: FaultyRegistry, credentials: Credentials | None = None) -> object:
    return RegistryClient(Known(credentials), OPTIONS, {}).find(name_in(faulty))


def test_nobody_is_asked_for_credentials_without_a_challenge(faulty: FaultyRegistry) -> None:
    source = Known(ALICE)
    assert RegistryClient(source, OPTIONS, {}).find(name_in(faulty))
    assert source.asked == 0
    assert all("authorization" not in seen.headers for seen in faulty.seen)


def test_basic_is_answered_with_the_password(faulty: FaultyRegistry) -> None:
    guarded(faulty, 'Basic realm="x"', ALICE.basic)
    assert find(faulty, ALICE)
    assert base64.b64decode(ALICE.basic.removeprefix("Basic ")) == b"alice:s3cret"


@pytest.mark.parametrize(
    ("credentials", "who"),
    [
        pytest.param(None, "to anonymous", id="nobody"),
        pytest.param(REFRESH, r"to an identity token \(from a test\)", id="a token that Basic has no use for"),
        pytest.param(
            Credentials(source="~/.docker/config.json", username="bob", password="s3cret"),
            r"to bob \(from ~/\.docker/config\.json\)",
            id="a wrong password",
        ),
    ],
)
def test_basic_that_is_refused_says_who_we_were(
    faulty: FaultyRegistry, credentials: Credentials | None, who: str
) -> None:
    guarded(faulty, 'Basic realm="x"', ALICE.basic)
    with pytest.raises(RegistryDenied, match=rf"cannot read .*/acme/x:v1: .* 401 .*{who}$") as caught:
        find(faulty, credentials)
    assert "docker login" in caught.value.hint
    assert "s3cret" not in f"{caught.value}{caught.value.hint}"


def test_a_token_is_fetched_once_for_its_scope(faulty: FaultyRegistry) -> None:
    faulty.says("/token", Says(200, b'{"token":"t1","expires_in":300}'))
    guarded(faulty, bearer(faulty), "Bearer t1")
    client = RegistryClient(Known(ALICE), OPTIONS, {})
    assert client.find(name_in(faulty))
    assert client.find(name_in(faulty))
    (asked,) = faulty.requests("/token")
    assert parse_qs(urlsplit(asked.path).query) == {"service": ["reg.test"], "scope": ["repository:acme/x:pull"]}
    assert asked.headers["authorization"] == ALICE.basic


def test_without_credentials_an_anonymous_token_is_asked_for(faulty: FaultyRegistry) -> None:
    faulty.says("/token", Says(200, b'{"access_token":"t1"}'))
    guarded(faulty, bearer(faulty), "Bearer t1")
    assert find(faulty)
    assert "authorization" not in faulty.requests("/token")[0].headers


def test_an_identity_token_is_exchanged(faulty: FaultyRegistry) -> None:
    faulty.says("/token", Says(200, b'{"access_token":"t1"}'))
    guarded(faulty, bearer(faulty), "Bearer t1")
    assert find(faulty, REFRESH)
    (asked,) = faulty.requests("/token")
    assert asked.method == "POST"
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["refresh_token"],
        "service": ["reg.test"],
        "scope": ["repository:acme/x:pull"],
        "client_id": ["flyte-build"],
        "refresh_token": ["refresh-s3cret"],
    }


def test_a_token_that_the_registry_no_longer_likes_is_replaced(faulty: FaultyRegistry) -> None:
    faulty.says("/token", *(Says(200, json.dumps({"token": token}).encode()) for token in ("t1", "t2")))
    guarded(faulty, bearer(faulty), "Bearer t2")
    assert find(faulty, ALICE)
    assert len(faulty.requests("/token")) == 2


def test_only_manifests_may_be_guarded(faulty: FaultyRegistry) -> None:
    version = faulty.answers["/v2/"]
    faulty.says("/token", Says(200, b'{"token":"t1"}'))
    guarded(faulty, bearer(faulty), "Bearer t1")
    faulty.answers["/v2/"] = version
    assert find(faulty, ALICE)


def test_bearer_is_preferred_to_basic(faulty: FaultyRegistry) -> None:
    faulty.says("/token", Says(200, b'{"token":"t1"}'))
    guarded(faulty, f'Basic realm="x", {bearer(faulty)}', "Bearer t1", ALICE.basic)
    assert find(faulty, ALICE)
    assert faulty.requests("/token")


def test_missing_is_only_believed_once_we_are_known(faulty: FaultyRegistry) -> None:
    faulty.says(V1, Says(404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}'))
    faulty.says("/v2/", Says(401, b"", (("www-authenticate", 'Basic realm="x"'),)))
    assert find(faulty, ALICE) is None
    assert [seen.headers.get("authorization") for seen in faulty.requests(V1)] == [ALICE.basic]


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        pytest.param(Says(401), RegistryDenied, r"401 Unauthorized to alice \(from a test\)", id="wrong password"),
        pytest.param(Says(403), RegistryDenied, "403 Forbidden", id="denied"),
        pytest.param(Says(503), RegistryUnavailable, "503", id="busy"),
        pytest.param(Says(200, b"<html>"), RegistryProtocol, "answered without one", id="a login page"),
        pytest.param(Says(200, b"{}"), RegistryProtocol, "answered without one", id="an empty object"),
        pytest.param(Says(200, b'{"token":"a\\nb"}'), RegistryProtocol, "answered without one", id="a line break"),
        pytest.param(Says(200, b"[]"), RegistryProtocol, "answered without one", id="a list"),
        pytest.param(Says(200, b" " * 70_000), RegistryProtocol, "larger than 65,536 bytes", id="too much"),
        pytest.param(Says(200, b"{}", hang=20), RegistryUnavailable, "did not answer in time", id="no answer"),
        pytest.param(Says(reset=True), RegistryUnavailable, "broke", id="a reset"),
    ],
)
def test_a_token_service_that_fails(faulty: FaultyRegistry, answer: Says, kind: type[RegistryError], said: str) -> None:
    faulty.says("/token", answer)
    guarded(faulty, bearer(faulty), "Bearer t1")
    start = time.monotonic()
    with pytest.raises(kind, match=said) as caught:
        find(faulty, ALICE)
    assert time.monotonic() - start < 15
    assert f"cannot get a token of {faulty.registry} for repository:acme/x:pull" in str(caught.value)
    assert caught.value.hint or kind is RegistryProtocol
    assert "s3cret" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize(
    "realm", ["http://tokens.test/token", "token", "", "https://", "https://[", "ftp://tokens.test"]
)
def test_a_password_never_goes_to_a_service_without_tls(faulty: FaultyRegistry, realm: str) -> None:
    guarded(faulty, f'Bearer realm="{realm}",service="reg.test"', "Bearer t1")
    with pytest.raises(RegistryUntrusted, match="as the token service, which is"):
        find(faulty, ALICE)


def test_a_hostile_registry_does_not_get_anothers_token(faulty: FaultyRegistry) -> None:
    faulty.says("/token", Says(200, b'{"token":"t1","expires_in":300}'))
    guarded(faulty, bearer(faulty), "Bearer t1")

    class OnlyFaulty:
        def for_registry(self, registry: Registry) -> Credentials | None:
            return ALICE if registry == faulty.registry else None

    client = RegistryClient(OnlyFaulty(), OPTIONS, {})
    client.find(name_in(faulty))
    with faulty_registry() as hostile:
        faulty.says("/token", lambda seen: Says(200 if seen.headers.get("authorization") else 401, b'{"token":"t2"}'))
        serve_image(hostile, "acme/x", "v1", config_of())
        guarded(hostile, bearer(faulty), "Bearer t1")
        with pytest.raises(RegistryDenied):
            client.find(name_in(hostile))
        assert all("authorization" not in seen.headers for seen in hostile.seen)


def test_who_we_were_sent_on_to_does_not_learn_who_we_are_by_asking(faulty: FaultyRegistry) -> None:
    with faulty_registry() as other:
        challenge = (("www-authenticate", f'Bearer realm="{other.url}/token",service="x"'),)
        other.says("/layer", Says(401, b"", challenge))
        other.says("/token", Says(200, b'{"token":"t"}'))
        guarded(faulty, 'Basic realm="x"', ALICE.basic)
        faulty.says(V1, Says(307, b"", (("location", f"{other.url}/layer"),)))
        with pytest.raises(RegistryDenied, match="401"):
            find(faulty, ALICE)
        # Nor by being asked whether it is a registry.
        faulty.says("/v2/", Says(307, b"", (("location", f"{other.url}/layer"),)))
        with pytest.raises(RegistryDenied, match="as an OCI registry"):
            find(faulty, ALICE)
        assert {seen.path for seen in other.seen} == {"/layer"}
        assert all("authorization" not in seen.headers for seen in other.seen)


@pytest.mark.parametrize(
    ("document", "used_for"),
    [
        pytest.param({"token": "t", "expires_in": 100}, 90, id="nine tenths of what the service says"),
        pytest.param({"token": "t"}, 54, id="of a minute when it says nothing"),
        pytest.param({"token": "t", "expires_in": "soon"}, 54, id="or nonsense"),
        pytest.param({"token": "t", "expires_in": -5}, 54, id="or the past"),
    ],
)
def test_a_token_is_kept_for(faulty: FaultyRegistry, document: dict[str, object], used_for: float) -> None:
    now = [1000.0]
    tokens = Tokens(HttpTransport(OPTIONS, {}), OPTIONS, Guard(OPTIONS), clock=lambda: now[0])
    faulty.says("/token", lambda seen: Says(200, json.dumps(document).encode()))
    challenge = Challenge("bearer", (("realm", f"{faulty.url}/token"), ("service", "s")))
    requests = []
    for later in (0, used_for - 1, used_for + 1):
        now[0] = 1000.0 + later
        tokens.get(faulty.url, challenge, "scope", None)
        requests.append(len(faulty.requests("/token")))
    assert requests == [1, 1, 2]


def test_an_upload_elsewhere_does_not_see_who_we_are(faulty: FaultyRegistry) -> None:
    with faulty_registry() as other:
        faulty.says("/v2/acme/x/blobs/uploads/", Says(202, b"", (("location", f"{other.url}/upload"),)))
        guarded(faulty, 'Basic realm="x"', ALICE.basic)
        RegistryClient(Known(ALICE), OPTIONS, {}).push_check(name_in(faulty).repository)
        (taken_back,) = other.seen
    assert (taken_back.method, taken_back.headers.get("authorization")) == ("DELETE", None)
