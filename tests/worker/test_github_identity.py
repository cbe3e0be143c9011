"""The identity of a GitHub job: what the clouds' own libraries make of it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from flyte_build.registry.errors import FlyteBuildError
from flyte_build.worker.github.inputs import PREFIX
from flyte_build.worker.github.oidc import cloud_identity


def given(**inputs: str) -> dict[str, str]:
    return {f"{PREFIX}{name.upper()}": value for name, value in inputs.items()}


class _GitHub(BaseHTTPRequestHandler):
    """Gives tokens as GitHub does: the audience is in the query, the bearer in a header."""

    def do_GET(self) -> None:
        audience = self.path.rpartition("audience=")[2]
        fine = self.headers["Authorization"] == "Bearer may-ask"
        body = json.dumps({"value": f"token-for-{audience}"} if fine else {"message": "no"}).encode()
        self.send_response(200 if fine else 403)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def github() -> Iterator[dict[str, str]]:
    server = HTTPServer(("127.0.0.1", 0), _GitHub)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/token?api-version=2.0"
    yield {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "may-ask"}
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_jobs_identity_becomes_files_that_only_it_can_read(github: dict[str, str], tmp_path: Path) -> None:
    found = cloud_identity(github | given(aws_role="arn:role", gcp_provider="projects/1/p"), tmp_path)
    token = Path(found["AWS_WEB_IDENTITY_TOKEN_FILE"])
    assert token.read_text(encoding="utf-8") == "token-for-sts.amazonaws.com"
    assert (found["AWS_ROLE_ARN"], found["AWS_DEFAULT_REGION"]) == ("arn:role", "us-east-1")
    google = Path(found["GOOGLE_APPLICATION_CREDENTIALS"])
    assert {token.stat().st_mode & 0o777, google.stat().st_mode & 0o777} == {0o600}


def test_google_auth_itself_reads_the_document_and_gets_the_jobs_token(
    github: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import google.auth
    import google.auth.transport.requests

    found = cloud_identity(github | given(gcp_provider="projects/1/p", gcp_service_account="me@p.iam"), tmp_path)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", found["GOOGLE_APPLICATION_CREDENTIALS"])
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    loaded: Any = google.auth.default(scopes=["x"])[0]
    subject = loaded.retrieve_subject_token(google.auth.transport.requests.Request())
    assert subject == "token-for-https://iam.googleapis.com/projects/1/p"
    assert loaded.service_account_email == "me@p.iam"


def test_boto3_itself_assumes_the_role_with_the_jobs_token(
    github: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3
    from moto import mock_aws

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    role = given(aws_role="arn:aws:iam::123456789012:role/images")
    with mock_aws(), monkeypatch.context() as inner:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            inner.delenv(name)  # moto's own, which would be asked first
        for name, value in cloud_identity(github | role, tmp_path).items():
            inner.setenv(name, value)
        who = boto3.Session().client("sts").get_caller_identity()["Arn"]
    assert who.endswith("role/images/flyte-build")


@pytest.mark.parametrize("wrong", [{}, {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "may-not"}])
def test_a_job_that_may_not_have_a_token_is_told_which_permission_it_lacks(
    wrong: dict[str, str], github: dict[str, str], tmp_path: Path
) -> None:
    environ = (github | wrong if wrong else {}) | given(aws_role="arn:role")
    with pytest.raises(FlyteBuildError) as refused:
        cloud_identity(environ, tmp_path)
    assert "id-token: write" in refused.value.hint
    assert not list(tmp_path.iterdir())
