"""ECR, private and public (AWS, "Private registry authentication in Amazon ECR"): a password that lives 12 hours."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING

from flyte_build.registry.clouds.extras import missing
from flyte_build.registry.clouds.hosts import ECR_HOST
from flyte_build.registry.errors import InvalidInput, RegistryDenied, RegistryUnavailable
from flyte_build.registry.identity import Credentials
from flyte_build.registry.names import Registry
from flyte_build.registry.redact import plain

if TYPE_CHECKING:
    from botocore.client import BaseClient

# The one region that knows the public registry.
_PUBLIC_REGION = "us-east-1"


def credentials(registry: Registry, environ: dict[str, str]) -> Credentials | None:
    """From boto3's own chain: environment, profiles, web identity, container and instance roles. None: no identity.

    Account and region are the host name's; `environ` is boto3's to read. Raises InvalidInput for a broken profile,
    RegistryDenied where AWS refuses, RegistryUnavailable where it does not answer.
    """
    ecr = client(registry)
    if ecr is None:
        return None
    host = ECR_HOST.fullmatch(registry.host)
    asked = {"registryIds": [host["account"]]} if host else {}
    answer = call(registry, ecr, "get_authorization_token", asked)
    data = answer.get("authorizationData")
    entry = (data[0] if data else None) if isinstance(data, list) else data
    if not isinstance(entry, Mapping):
        raise InvalidInput(f"AWS gave no password for {registry}")
    return _decode(registry, entry, environ.get("AWS_PROFILE", ""))


def client(registry: Registry) -> BaseClient | None:
    """ECR's API for the account and region in the host name; None where this machine has no identity at AWS."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise missing(registry, "boto3", "aws") from error
    host = ECR_HOST.fullmatch(registry.host)
    service, region = ("ecr", host["region"]) if host else ("ecr-public", _PUBLIC_REGION)
    try:
        session = boto3.Session()
        if session.get_credentials() is None:
            return None
        config = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 3, "mode": "standard"})
        made: BaseClient = session.client(service, region_name=region, config=config)
    except BotoCoreError as error:
        raise InvalidInput(
            f"the identity of this machine at AWS cannot be used for {registry}: {plain(str(error))}",
            hint="check AWS_PROFILE and ~/.aws, or run `aws sts get-caller-identity`",
        ) from error
    return made


def call(
    registry: Registry,
    ecr: BaseClient,
    operation: str,
    parameters: Mapping[str, object],
    *,
    instead: Mapping[str, Mapping[str, object]] | None = None,
) -> Mapping[str, object]:
    """One call of ECR's API. `instead` is what to answer where AWS says one of these error codes.

    Raises RegistryDenied for what AWS refuses, RegistryUnavailable where it does not answer.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer: Mapping[str, object] = getattr(ecr, operation)(**parameters)
    except ClientError as error:
        said = error.response.get("Error", {})
        code, message = plain(str(said.get("Code", "")), 60), plain(str(said.get("Message", "")))
        if instead and code in instead:
            return instead[code]
        raise RegistryDenied(
            f"AWS refused {operation} for {registry}: {code}{f': {message}' if message else ''}",
            hint="the identity needs this action on ECR; `aws sts get-caller-identity` says which identity it is",
        ) from error
    except BotoCoreError as error:
        raise RegistryUnavailable(
            f"AWS could not be asked about {registry} ({operation}): {plain(str(error))}",
            hint="check the network, and the identity with `aws sts get-caller-identity`",
        ) from error
    return answer


def _decode(registry: Registry, entry: Mapping[str, object], profile: str) -> Credentials:
    try:
        text = base64.b64decode(str(entry.get("authorizationToken")), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    username, colon, password = text.partition(":")
    if not colon:
        raise InvalidInput(f"AWS gave a password for {registry} that cannot be read")
    expires = getattr(entry.get("expiresAt"), "timestamp", None)
    return Credentials(
        source=f"AWS (profile {profile})" if profile else "AWS",
        username=username,
        password=password,
        expires_at=float(expires()) if expires else None,
    )
