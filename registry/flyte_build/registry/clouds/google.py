"""GCR and Artifact Registry: an access token as the password (Google, "Authentication methods for Docker")."""

from __future__ import annotations

import socket
from datetime import timezone
from pathlib import Path

from flyte_build.registry.clouds.extras import missing
from flyte_build.registry.errors import InvalidInput, RegistryUnavailable
from flyte_build.registry.identity import Credentials
from flyte_build.registry.names import Registry
from flyte_build.registry.redact import plain

_USER = "oauth2accesstoken"
_METADATA = "169.254.169.254"
_PROBE = 0.5
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def credentials(registry: Registry, environ: dict[str, str]) -> Credentials | None:
    """From google-auth's application default credentials: `GOOGLE_APPLICATION_CREDENTIALS` (a service account's file
    or workload identity's), gcloud's login, the metadata server. None: no identity.

    Raises InvalidInput for a broken one, RegistryUnavailable when Google does not answer.
    """
    if not _may_have_one(environ):
        return None
    try:
        import google.auth
        import google.auth.transport.requests
        from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
    except ImportError as error:
        raise missing(registry, "google-auth", "gcp") from error
    try:
        found, _ = google.auth.default(scopes=[_SCOPE])
        found.refresh(google.auth.transport.requests.Request())  # type: ignore[no-untyped-call]
    except DefaultCredentialsError as error:
        if not environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
            return None
        raise InvalidInput(
            f"GOOGLE_APPLICATION_CREDENTIALS cannot be used for {registry}: {plain(str(error))}",
            hint="name the JSON file of a service account or of workload identity",
        ) from error
    except TransportError as error:
        raise RegistryUnavailable(f"Google did not give a token for {registry}: {plain(str(error))}") from error
    except GoogleAuthError as error:
        raise InvalidInput(
            f"Google refused a token for {registry}: {plain(str(error))}",
            hint="`gcloud auth application-default login`",
        ) from error
    if not found.token:
        return None
    expiry = found.expiry.replace(tzinfo=timezone.utc).timestamp() if found.expiry else None
    who = getattr(found, "service_account_email", "") or ""
    source = f"Google ({who})" if who not in ("", "default") else "Google"
    return Credentials(source=source, username=_USER, password=str(found.token), expires_at=expiry)


def _may_have_one(environ: dict[str, str]) -> bool:
    """Whether there is a file, or a metadata server: google-auth takes up to ten seconds to find out that there is
    none, and most who pull a public image from Google are somewhere else.
    """
    if environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return True
    config = environ.get("CLOUDSDK_CONFIG") or str(Path(environ.get("HOME") or "~").expanduser() / ".config" / "gcloud")
    if Path(config, "application_default_credentials.json").is_file():
        return True
    where = environ.get("GCE_METADATA_HOST") or environ.get("GCE_METADATA_IP") or _METADATA
    host, _, port = where.partition(":")
    try:
        socket.create_connection((host, int(port or 80)), timeout=_PROBE).close()
    except (OSError, ValueError):
        return False
    return True
