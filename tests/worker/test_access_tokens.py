"""The attacker with a token: forged, expired, somebody else's, or signed in a clever way."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jwt
import pytest
from tests.worker.oidc import AUDIENCE, Idp, Key

from flyte_build.registry.errors import ServiceStranger, ServiceUnavailable
from flyte_build.registry.wire import Request, Response
from flyte_build.worker.access.keys import Issuing
from flyte_build.worker.access.rules import Issuer, Rules, StaticToken
from flyte_build.worker.access.tokens import Tokens, digest, new_token
from flyte_build.worker.access.values import Identity

URL = "https://issuer.example"
RSA = Key("RSA")


class Wire:
    """A transport that ends at an issuer in this process."""

    def __init__(self, idp: Idp) -> None:
        self.idp = idp

    def send(self, request: Request) -> Response:
        headers = dict(request.headers)
        status, document = self.idp.answer(request.url.removeprefix(URL), headers.get("authorization", ""))
        body = request.read(iter([json.dumps(document).encode()]))
        return Response(status=status, headers={}, body=body, url=request.url)


class Watch:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Idp:
    return Idp(url=URL, keys=[Key(), RSA])


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def tokens(issuer: Idp, watch: Watch) -> Tokens:
    rule = Issuer(url=URL, audiences=(AUDIENCE, "another"))
    return Tokens(Rules(issuers=(rule,)), {URL: Issuing(rule, Wire(issuer), watch)})


def now(seconds: float) -> int:
    return int(time.time() + seconds)


Make = Callable[[Idp], str]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda i: i.token(), id="an elliptic curve's"),
        pytest.param(lambda i: i.token(key=i.keys[1]), id="RSA's"),
        pytest.param(lambda i: i.token(aud=["x", AUDIENCE]), id="one for several audiences"),
        pytest.param(lambda i: i.token(aud="another"), id="one for the other audience"),
        pytest.param(lambda i: i.token(exp=now(-30)), id="one that expired within the skew of clocks"),
        pytest.param(lambda i: i.token(nbf=now(30)), id="one that begins within the skew of clocks"),
    ],
)
def test_a_token_is_believed(tokens: Tokens, issuer: Idp, make: Make) -> None:
    identity = tokens.identify(make(issuer))
    assert (identity.issuer, identity.subject) == (URL, "alice")
    assert identity.expires is not None


def unsigned(issuer: Idp) -> str:
    return jwt.encode(jwt.decode(issuer.token(), options={"verify_signature": False}), "", algorithm="none")


def confused(issuer: Idp) -> str:
    """HS256 with the public key as the secret: the classic."""
    head = {"alg": "HS256", "typ": "JWT", "kid": issuer.keys[1].kid}
    body = jwt.decode(issuer.token(), options={"verify_signature": False})
    signed = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (head, body))
    mac = hmac.new(json.dumps(issuer.keys[1].public).encode(), signed, hashlib.sha256).digest()
    return f"{signed.decode()}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def altered(issuer: Idp) -> str:
    head, body, signature = issuer.token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "==")) | {"sub": "root"}
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.{signature}"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        pytest.param(lambda i: i.token(exp=now(-90)), "expired", id="an expired one"),
        pytest.param(lambda i: i.token(nbf=now(90)), "not valid yet", id="one of tomorrow"),
        pytest.param(lambda i: i.token(iat=now(90)), "not valid yet", id="one that was issued tomorrow"),
        pytest.param(lambda i: i.token(aud="elsewhere"), "another audience", id="one for another audience"),
        pytest.param(lambda i: i.token(drop="aud"), "lacks a claim", id="one for no audience"),
        pytest.param(lambda i: i.token(drop="exp"), "lacks a claim", id="one that never expires"),
        pytest.param(lambda i: i.token(drop="iat"), "lacks a claim", id="one that was never issued"),
        pytest.param(lambda i: i.token(drop="sub"), "lacks a claim", id="nobody's"),
        pytest.param(lambda i: i.token(iss="https://evil.example"), "not believed", id="another issuer's"),
        pytest.param(lambda i: i.token(iss=f"{URL}/"), "not believed", id="one of an issuer that is nearly ours"),
        pytest.param(lambda i: i.token(iss=[URL]), "not believed", id="one of a list of issuers"),
        pytest.param(lambda i: i.token(key=Key()), "does not publish", id="one signed with a key of their own"),
        pytest.param(lambda i: i.token(key=Key(kid=i.keys[0].kid)), "signature", id="the same under our key's name"),
        pytest.param(
            lambda i: i.token(key=Key(), headers={"jwk": Key().public, "kid": i.keys[0].kid}),
            "signature",
            id="one that brings its own key",
        ),
        pytest.param(
            lambda i: i.token(key=Key(), headers={"jku": "https://evil.example/keys"}), "not publish", id="or names it"
        ),
        pytest.param(lambda i: i.token(key=i.keys[0], headers={"kid": i.keys[1].kid}), "accepted", id="a mixed-up key"),
        pytest.param(lambda i: i.token(headers={"kid": "../../keys"}), "not publish", id="a key that is a path"),
        pytest.param(unsigned, "publish", id="an unsigned one"),
        pytest.param(confused, "not accepted", id="one signed with the public key as a password"),
        pytest.param(altered, "signature", id="one whose subject was altered"),
        pytest.param(lambda i: "a.b.c", "cannot be read", id="garbage"),
        pytest.param(lambda i: i.token() + "." + "x", "not known", id="one with a fourth part"),
        pytest.param(lambda i: "x" * 20000, "longer", id="an endless one"),
        pytest.param(lambda i: "", "not known", id="an empty one"),
    ],
)
def test_a_token_is_refused(tokens: Tokens, issuer: Idp, make: Make, why: str) -> None:
    token = make(issuer)
    with pytest.raises(ServiceStranger, match=why) as caught:
        tokens.identify(token)
    assert len(token) < 8 or token not in f"{caught.value} {caught.value.hint}"


def test_a_new_key_is_found_and_an_old_one_forgotten(tokens: Tokens, issuer: Idp, watch: Watch) -> None:
    old = issuer.token()
    tokens.identify(old)
    issuer.keys = [Key()]
    watch.now += 11
    tokens.identify(issuer.token())
    with pytest.raises(ServiceStranger, match="publish"):
        tokens.identify(old)


def test_unknown_keys_do_not_make_us_ask_the_issuer_each_time(tokens: Tokens, issuer: Idp) -> None:
    tokens.identify(issuer.token())
    for _ in range(20):
        with pytest.raises(ServiceStranger):
            tokens.identify(issuer.token(key=Key()))
    assert issuer.asked.count("/keys") == 1


def test_an_issuer_that_is_away_does_not_lock_out_those_it_named_today(
    tokens: Tokens, issuer: Idp, watch: Watch
) -> None:
    tokens.identify(issuer.token())
    issuer.down = True
    watch.now += 3600
    assert tokens.identify(issuer.token()).subject == "alice"
    watch.now += 24 * 3600
    with pytest.raises(ServiceUnavailable, match="cannot be had"):
        tokens.identify(issuer.token())


def test_an_issuer_that_never_answered_is_no_reason_to_believe(tokens: Tokens, issuer: Idp) -> None:
    issuer.down = True
    with pytest.raises(ServiceUnavailable):
        tokens.identify(issuer.token())


def test_a_discovery_document_of_somebody_else_is_not_believed(tokens: Tokens, issuer: Idp) -> None:
    issuer.calls_itself = "https://evil.example"
    with pytest.raises(ServiceUnavailable, match=r"calls itself 'https://evil\.example'"):
        tokens.identify(issuer.token())


@pytest.mark.parametrize("said", [{"use": "enc"}, {"alg": "ES384"}], ids=["to encrypt", "of another algorithm"])
def test_a_key_that_is_for_something_else_signs_nothing(
    tokens: Tokens, issuer: Idp, monkeypatch: pytest.MonkeyPatch, said: dict[str, str]
) -> None:
    token, public = issuer.token(), issuer.keys[0].public
    monkeypatch.setattr(Key, "public", property(lambda _: {**public, **said}))
    with pytest.raises(ServiceStranger, match="not accepted"):
        tokens.identify(token)


def test_keys_that_anybody_on_the_way_could_change_are_not_read(tokens: Tokens, issuer: Idp) -> None:
    issuer.keys_at = "http://keys.example/keys"
    with pytest.raises(ServiceUnavailable, match="at no https URL"):
        tokens.identify(issuer.token())
    assert issuer.asked == ["/.well-known/openid-configuration"]


def test_our_own_token_goes_to_nobody_whom_the_rules_do_not_name(issuer: Idp, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("own-token\n")
    issuer.keys_at, shown = "https://elsewhere.example/keys", dict[str, str]()

    class Noting(Wire):
        def send(self, request: Request) -> Response:
            shown[request.url] = dict(request.headers).get("authorization", "")
            return super().send(replace(request, url=request.url.replace("https://elsewhere.example", URL)))

    rule = Issuer(url=URL, audiences=(AUDIENCE,), token_file=tmp_path / "token")
    Tokens(Rules(issuers=(rule,)), {URL: Issuing(rule, Noting(issuer))}).identify(issuer.token())
    assert shown == {f"{URL}/.well-known/openid-configuration": "Bearer own-token", issuer.keys_at: ""}


def test_a_clusters_keys_are_read_with_our_own_token(issuer: Idp, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("own-token\n")
    issuer.needs = "own-token"
    rule = Issuer(url=URL, audiences=(AUDIENCE,), token_file=file)
    subject = "system:serviceaccount:research:trainer"
    identity = Tokens(Rules(issuers=(rule,)), {URL: Issuing(rule, Wire(issuer))}).identify(issuer.token(sub=subject))
    assert identity.subject == subject
    bare = Issuer(url=URL, audiences=(AUDIENCE,))
    without = Tokens(Rules(issuers=(bare,)), {URL: Issuing(bare, Wire(issuer))})
    with pytest.raises(ServiceUnavailable):
        without.identify(issuer.token())


def test_a_static_token_is_known_by_its_hash_alone() -> None:
    token, sha256 = new_token()
    tokens = Tokens(Rules(tokens=(StaticToken(name="ci", sha256=sha256, projects=()),)))
    assert tokens.identify(token) == Identity(issuer="token", subject="ci")
    assert token not in repr(tokens.__dict__)
    for wrong in (token[:-1], f"{token} ", sha256, digest(sha256), ""):
        with pytest.raises(ServiceStranger, match="not known"):
            tokens.identify(wrong)
