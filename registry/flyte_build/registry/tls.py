"""Which certificate authorities are believed, and which certificate we show."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from flyte_build.registry.errors import InvalidInput

# Docker's and podman's folders for one registry's authorities and our certificates; the user's before the machine's.
_USER = (".config/docker/certs.d", ".config/containers/certs.d")
_MACHINE = (Path("/etc/docker/certs.d"), Path("/etc/containers/certs.d"))


def trust(
    ca_bundle: Path | None, environ: Mapping[str, str] = os.environ, folders: tuple[Path, ...] = ()
) -> ssl.SSLContext:
    """The machine's authorities (OpenSSL reads `SSL_CERT_FILE` and `SSL_CERT_DIR`), and beside them
    `REQUESTS_CA_BUNDLE`, `ca_bundle`, and what `folders` hold (`*.crt` authorities, `*.cert` with `*.key` ours).

    Where the machine has none at all, those of `certifi` if it is installed. Raises InvalidInput for what cannot be
    read.
    """
    context = ssl.create_default_context()
    if not _has_own(environ):
        _load_certifi(context)
    extra = environ.get("REQUESTS_CA_BUNDLE", "")
    if extra and extra != environ.get("SSL_CERT_FILE"):
        _load(context, Path(extra), "REQUESTS_CA_BUNDLE")
    if ca_bundle is not None:
        _load(context, ca_bundle, "the CA bundle")
    for folder in folders:
        for authority in sorted(folder.glob("*.crt")):
            _load(context, authority, "the registry's authority")
        for own in sorted(folder.glob("*.cert")):
            _show(context, own)
    return context


def host_folders(netloc: str, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The `certs.d/<host[:port]>` folders that exist for this registry (docs.docker.com, "Verify repository client
    with certificates"; containers-certs.d(5)).
    """
    home = environ.get("HOME")
    roots = (*(Path(home, name) for name in _USER), *_MACHINE) if home else _MACHINE
    host = netloc.rpartition("@")[2].lower()
    return tuple(root / host for root in roots if host.strip(".") and (root / host).is_dir())


def _has_own(environ: Mapping[str, str]) -> bool:
    paths = ssl.get_default_verify_paths()
    file, folder = paths.cafile, paths.capath
    if any(environ.get(name) for name in (paths.openssl_cafile_env, paths.openssl_capath_env)):
        return True
    return bool(file) or bool(folder and next(Path(folder).iterdir(), None))


def _load_certifi(context: ssl.SSLContext) -> None:
    try:
        import certifi
    except ImportError:
        return
    context.load_verify_locations(cafile=certifi.where())


def _show(context: ssl.SSLContext, certificate: Path) -> None:
    try:
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    except OSError as error:
        raise InvalidInput(
            f"our certificate {certificate} cannot be used: {_why(error, 'it and its .key do not fit together')}",
            hint="put the certificate (PEM) in NAME.cert and its unencrypted key in NAME.key",
        ) from error


def _load(context: ssl.SSLContext, bundle: Path, name: str) -> None:
    try:
        if bundle.is_dir():
            context.load_verify_locations(capath=bundle)
        else:
            context.load_verify_locations(cafile=bundle)
    except OSError as error:
        raise InvalidInput(
            f"{name} {bundle} cannot be used: {_why(error, 'it holds no certificate')}",
            hint="give a PEM file with the certificates to trust",
        ) from error


def _why(error: OSError, otherwise: str) -> str:
    return str(error.strerror) if error.errno and not isinstance(error, ssl.SSLError) else otherwise
