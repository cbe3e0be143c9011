"""ACR: an Entra ID token, exchanged for the registry's own (Azure, "Azure Container Registry: OAuth2 exchange")."""

from __future__ import annotations

import base64
import binascii
import json
import logging
from urllib.parse import urlencode

from flyte_build.registry.clouds.extras import missing
from flyte_build.registry.errors import InvalidInput, RegistryProtocol
from flyte_build.registry.failures import refusal
from flyte_build.registry.identity import Credentials
from flyte_build.registry.names import Registry
from flyte_build.registry.options import RegistryOptions
from flyte_build.registry.redact import plain
from flyte_build.registry.retry import Retrying
from flyte_build.registry.transport import HttpTransport
from flyte_build.registry.verify import ANSWER_LIMIT, bounded
from flyte_build.registry.wire import Request, Transport

_SCOPE = "https://containerregistry.azure.net/.default"
# The user name that ACR wants beside a refresh token.
_USER = "00000000-0000-0000-0000-000000000000"
_SOURCE = "Azure"


def credentials(registry: Registry, environ: dict[str, str]) -> Credentials | None:
    """From azure-identity's default chain: environment, workload identity, managed identity, `az login`. None: none.

    Raises InvalidInput for a broken identity, and what the exchange raises.
    """
    try:
        from azure.core.exceptions import AzureError, ClientAuthenticationError
        from azure.identity import CredentialUnavailableError, DefaultAzureCredential
    except ImportError as error:
        raise missing(registry, "azure-identity", "azure") from error
    # It tells the log of every identity that is not there; what matters is in its errors, and those become ours.
    logging.getLogger("azure.identity").setLevel(logging.CRITICAL)
    try:
        with DefaultAzureCredential() as identity:
            token = identity.get_token(_SCOPE).token
    except CredentialUnavailableError:
        return None
    except ClientAuthenticationError as error:
        # The whole chain fails with this one, also when nobody is logged in anywhere.
        if not environ.get("AZURE_CLIENT_ID"):
            return None
        raise InvalidInput(f"Azure refused a token for {registry}: {plain(str(error))}", hint="az login") from error
    except AzureError as error:
        raise InvalidInput(f"Azure gave no token for {registry}: {plain(str(error))}", hint="az login") from error
    options = RegistryOptions()
    return exchange(registry, token, Retrying(HttpTransport(options, environ), options))


def exchange(registry: Registry, token: str, transport: Transport) -> Credentials:
    """The registry's refresh token for an access token of Entra ID's; raises as `failures.refusal`."""
    form = {"grant_type": "access_token", "service": registry.host, "access_token": token}
    request = Request(
        method="POST",
        url=f"https://{registry.host}/oauth2/exchange",
        headers=(("content-type", "application/x-www-form-urlencoded"),),
        body=urlencode(form).encode(),
        read=bounded(ANSWER_LIMIT, "a token"),
        repeatable=True,
    )
    response = transport.send(request)
    if response.status != 200:
        raise refusal(f"cannot get a token of {registry}", registry.host, response, "our identity at Azure")
    try:
        refresh = json.loads(response.body)["refresh_token"]
    except (ValueError, RecursionError, KeyError, TypeError):
        refresh = None
    if not isinstance(refresh, str) or not refresh:
        raise RegistryProtocol(f"{registry} answered our identity at Azure without a token")
    return Credentials(source=_SOURCE, username=_USER, identity_token=refresh, expires_at=_expiry(refresh))


def _expiry(token: str) -> float | None:
    """The `exp` of a JWT (RFC 7519 section 4.1.4); it is the registry's to verify, ours only to know when to ask."""
    part = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return float(claims["exp"])
    except (binascii.Error, ValueError, RecursionError, KeyError, TypeError):
        return None
