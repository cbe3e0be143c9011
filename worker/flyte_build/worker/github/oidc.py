"""The identity of a GitHub job, made usable by the clouds' own libraries: no key is stored anywhere.

Sources: docs.github.com, "OpenID Connect reference"; boto3, "Assume role with web identity provider"; google-auth,
"External accounts" (AIP-4117).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

import urllib3

from flyte_build.registry.errors import InvalidInput, RegistryUnavailable
from flyte_build.worker.client.bearer import expiry
from flyte_build.worker.github.inputs import PREFIX

_AWS_AUDIENCE = "sts.amazonaws.com"
_AWS_REGION = "us-east-1"
_STS = "https://sts.googleapis.com/v1/token"
_TYPE = "urn:ietf:params:oauth:token-type:jwt"
_SIZE = 64 * 1024
_SPARE = 60.0  # seconds that a token must still be good for
_HELD: dict[tuple[str, str], str] = {}
_HINT = "give the job `permissions: id-token: write`"


def cloud_identity(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Variables for boto3 and google-auth, from the inputs `aws-role` and `gcp-provider`; files go to `folder`.

    Raises InvalidInput where the job may not have a token, RegistryUnavailable where GitHub gives none.
    """
    role, provider = environ.get(f"{PREFIX}AWS_ROLE", ""), environ.get(f"{PREFIX}GCP_PROVIDER", "")
    found: dict[str, str] = {}
    if role:
        token = _kept(folder / "aws-token", _token(environ, _AWS_AUDIENCE))
        found |= {"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_SESSION_NAME": "flyte-build"}
        # boto3 asks the region's STS; where none is given any will do.
        found["AWS_DEFAULT_REGION"] = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or _AWS_REGION
    if provider:
        document = google_document(environ, provider, environ.get(f"{PREFIX}GCP_SERVICE_ACCOUNT", ""))
        found["GOOGLE_APPLICATION_CREDENTIALS"] = _kept(folder / "google.json", json.dumps(document))
    return found


def may_ask(environ: Mapping[str, str]) -> bool:
    """Whether the job has the right to tokens at all."""
    return all(environ.get(f"ACTIONS_ID_TOKEN_REQUEST_{part}") for part in ("URL", "TOKEN"))


def job_token(environ: Mapping[str, str], audience: str) -> str:
    """A token of the job's for somebody who believes GitHub: the same one until a minute before its end.

    Raises as `cloud_identity`.
    """
    url, _ = _asked(environ)
    held = _HELD.get((url, audience), "")
    if (expiry(held) or 0.0) - time.time() < _SPARE:
        held = _HELD[url, audience] = _token(environ, audience)
    return held


def google_document(environ: Mapping[str, str], provider: str, account: str) -> dict[str, object]:
    """What google-auth reads: it asks GitHub for the token itself, each time anew."""
    url, bearer = _asked(environ)
    name = provider.removeprefix("//iam.googleapis.com/").removeprefix("https://iam.googleapis.com/")
    audience = f"https://iam.googleapis.com/{name}"
    document: dict[str, object] = {
        "type": "external_account",
        "audience": f"//iam.googleapis.com/{name}",
        "subject_token_type": _TYPE,
        "token_url": _STS,
        "credential_source": {
            "url": f"{url}&audience={audience}",
            "headers": {"Authorization": f"Bearer {bearer}"},
            "format": {"type": "json", "subject_token_field_name": "value"},
        },
    }
    if account:
        document["service_account_impersonation_url"] = (
            f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
        )
    return document


def _asked(environ: Mapping[str, str]) -> tuple[str, str]:
    url, bearer = (environ.get(f"ACTIONS_ID_TOKEN_REQUEST_{part}", "") for part in ("URL", "TOKEN"))
    if not url or not bearer:
        raise InvalidInput("this job may not ask GitHub for an identity token", hint=_HINT)
    return url, bearer


def _token(environ: Mapping[str, str], audience: str) -> str:
    url, bearer = _asked(environ)
    http = urllib3.PoolManager(timeout=urllib3.Timeout(total=30), retries=urllib3.Retry(3, redirect=0))
    try:
        answer = http.request(
            "GET", f"{url}&audience={audience}", headers={"Authorization": f"Bearer {bearer}"}, preload_content=False
        )
        body = answer.read(_SIZE)
        answer.close()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise RegistryUnavailable("GitHub did not answer when it was asked for an identity token") from error
    try:
        value = json.loads(body)["value"] if answer.status == 200 else None
    except (ValueError, KeyError, TypeError):
        value = None
    if not isinstance(value, str) or not value:
        raise RegistryUnavailable(f"GitHub gave no identity token (HTTP {answer.status})", hint=_HINT)
    return value


def _kept(file: Path, text: str) -> str:
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")
    return str(file)
