"""The attacker without a token, and how those with one come in."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.auth.auth_service_connect import AuthMetadataServiceClientSync
from flyteidl2.auth.auth_service_pb2 import GetOAuth2MetadataRequest, GetPublicClientConfigRequest
from tests.worker.conftest import Served
from tests.worker.guarded import Guarded
from tests.worker.oidc import AUDIENCE

from flyte_build.registry.errors import InvalidInput
from flyte_build.worker.endpoint.place import check_host, check_tls

pytestmark = pytest.mark.real


def code_of(call: Callable[[], object]) -> Code:
    with pytest.raises(ConnectError) as caught:
        call()
    assert "\n" not in caught.value.message
    return caught.value.code


PATHS = ("/", "/metrics", "/api/v1/builds", "/api/v1/service", "/v2/domain/d/project/p/runs/r", "/nothing")
RPCS = ("workflow.RunService/GetRunDetails", "dataproxy.DataProxyService/UploadInputs", "task.TaskService/ListTasks")


def test_nobody_gets_in_without_a_token(guarded: Guarded) -> None:
    stale = guarded.issuer.token(exp=1)
    attempts: dict[str, dict[str, str]] = {
        "nothing": {},
        "an expired token": {"authorization": f"Bearer {stale}"},
        "a token as a password": {"authorization": f"Basic {guarded.everything}"},
        "a bare token": {"authorization": guarded.everything},
        "a cookie for an RPC": {"cookie": f"flyte-build={guarded.everything}"},
    }
    for headers in attempts.values():
        for rpc in RPCS:
            status, text, _ = guarded.get(
                f"/flyteidl2.{rpc}", "POST", b"\xff not even read", **headers, Content_Type="application/proto"
            )
            assert (status, json.loads(text)["code"]) == (401, "unauthenticated")
            assert guarded.everything not in text
            assert stale not in text
    for path in PATHS:
        assert guarded.get(path)[0] == 401
        assert guarded.get(path, Accept="text/html")[2]["location"] == "/login"
    assert guarded.get("/api/v1/builds/x/cancel", "POST", cookie=f"flyte-build={guarded.everything}")[0] == 401
    for path in ("/healthz", "/login", "/style.css"):
        assert guarded.get(path)[0] == 200
    # Whoever has shown who they are and is named by no rule is told so, and needs no new login.
    assert guarded.get("/", **guarded.header("carol"))[0] == 403


def test_who_shows_two_tokens_is_nobody(guarded: Guarded) -> None:
    """What stands before us may have looked at the other one."""
    connection = http.client.HTTPConnection(urlsplit(guarded.served.url).netloc, timeout=20)
    with contextlib.closing(connection):
        connection.putrequest("GET", "/")
        for token in (guarded.everything, guarded.issuer.token(sub="alice")):
            connection.putheader("authorization", f"Bearer {token}")
        connection.endheaders()
        assert connection.getresponse().status == 401


def test_a_stream_is_refused_as_streams_are(guarded: Guarded) -> None:
    status, text, _ = guarded.get(
        "/flyteidl2.workflow.RunService/WatchActionDetails", "POST", b"", Content_Type="application/connect+proto"
    )
    assert status == 200
    assert json.loads(text[5:])["error"]["code"] == "unauthenticated"


def test_people_log_in_with_their_token(guarded: Guarded) -> None:
    def post(token: str, **headers: str) -> tuple[int, str, Any]:
        body = urlencode({"token": token}).encode()
        return guarded.get("/login", "POST", body, Content_Type="application/x-www-form-urlencoded", **headers)

    assert post("wrong")[0] == 403
    assert "wrong" not in post("wrong")[1]
    assert post("x" * 40_000)[0] == 413
    assert post(guarded.everything, Origin="https://evil.example")[0] == 403
    status, _, headers = post(guarded.issuer.token(sub="alice", exp=4_000_000_000))
    cookie = headers["set-cookie"]
    assert (status, headers["location"]) == (303, "/")
    assert {"httponly", "samesite=lax", "path=/", "max-age=43200"} <= {
        part.strip().lower() for part in cookie.split(";")
    }
    assert guarded.get("/", Cookie=cookie.split(";")[0])[0] == 200
    assert guarded.get("/v2/domain/d/project/q/runs/r", Cookie=cookie.split(";")[0])[0] == 403
    assert "form-action 'self'" in guarded.get("/login")[2]["content-security-policy"]
    assert "form-action 'none'" in guarded.get("/healthz")[2]["content-security-policy"]


def test_clients_are_told_how_to_log_in(guarded: Guarded, serving: Callable[..., Served], tmp_path: Path) -> None:
    with AuthMetadataServiceClientSync(guarded.served.url) as client:
        metadata = client.get_o_auth2_metadata(GetOAuth2MetadataRequest())
        config = client.get_public_client_config(GetPublicClientConfigRequest())
    assert metadata.token_endpoint == f"{guarded.issuer.url}/token"
    assert (config.client_id, config.audience, list(config.scopes)) == ("people", AUDIENCE, ["openid"])
    assert config.authorization_metadata_key == "authorization"
    with AuthMetadataServiceClientSync(serving(tmp_path / "open").url) as client:
        assert code_of(lambda: client.get_public_client_config(GetPublicClientConfigRequest())) is Code.UNIMPLEMENTED


def test_a_token_that_is_taken_out_of_the_rules_counts_no_more(guarded: Guarded) -> None:
    bearer = {"authorization": f"Bearer {guarded.everything}"}
    assert guarded.get("/", **bearer)[0] == 200
    text = guarded.rules.read_text()
    guarded.rules.write_text(re.sub(r'sha256 = "\w+"', f'sha256 = "{"0" * 64}"', text))
    assert guarded.get("/", **bearer)[0] == 401
    guarded.rules.write_text("[broken")
    status, said, _ = guarded.get("/", **guarded.header("alice"))
    assert (status, "tell whoever runs it" in said) == (503, True), "rules that cannot be read let nobody in"
    assert str(guarded.rules) not in said
    status, said, _ = guarded.get("/readyz")
    assert (status, "access" in json.loads(said)["missing"]) == (503, True)
    guarded.rules.write_text(text)
    assert guarded.get("/", **bearer)[0] == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "builds.acme.example"])
def test_it_does_not_listen_for_others_without_asking_who_they_are(host: str) -> None:
    with pytest.raises(InvalidInput, match="without asking who"):
        check_host(host, "https://builds.acme.example", guarded=False)
    check_host(host, "https://builds.acme.example", guarded=True)


def test_it_starts_for_everybody_when_it_asks_who_they_are(
    serving: Callable[..., Served], guarded: Guarded, tmp_path: Path
) -> None:
    served = serving(
        tmp_path / "wide",
        host="0.0.0.0",
        public_url="https://builds.acme.example",
        access=guarded.rules,
        registry="r.example",
    )
    assert served.url == "https://builds.acme.example"
    with pytest.raises(InvalidInput, match="no address"):
        check_host("0.0.0.0", "", guarded=True)


def test_a_certificate_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(InvalidInput, match="not a certificate"):
        check_tls((tmp_path / "x", tmp_path / "x"))
