"""What never enters a bundle by accident: what tools leave beside source, and what looks like a secret. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection

JUNK_NAMES = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".venv",
        "__pycache__",
        "node_modules",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".hypothesis",
        ".ipynb_checkpoints",
        ".tox",
        ".nox",
        ".DS_Store",
        "Thumbs.db",
    }
)
JUNK_SUFFIXES = (".pyc", ".pyo")
# The file that makes a folder a virtual environment, whatever its name (PEP 405).
VENV_MARK = "pyvenv.cfg"

_SAMPLES = (".example", ".sample", ".template", ".dist")
_SECRET_NAMES = {
    "a private key": ("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk"),
    "a password file": (".netrc", "_netrc", ".pypirc", ".git-credentials", ".pgpass", ".htpasswd", ".dockercfg"),
    "cloud credentials": (
        "application_default_credentials.json",
        "credentials.json",
        "client_secret.json",
        "kubeconfig",
        ".boto",
        ".s3cfg",
    ),
    "a secrets file": ("secrets.json", "secrets.yaml", "secrets.yml", "secrets.toml"),
}
_NAMES = {name: what for what, names in _SECRET_NAMES.items() for name in names}
_PATHS = {
    ".aws/credentials": "cloud credentials",
    ".azure/accessTokens.json": "cloud credentials",
    ".docker/config.json": "registry credentials",
    ".kube/config": "cloud credentials",
}
_SUFFIXES = {".ppk": "a private key", ".p12": "a private key", ".pfx": "a private key"}
_PRIVATE_KEY = re.compile(rb"\s*-----BEGIN [A-Z ]*PRIVATE KEY-----")
_SERVICE_ACCOUNT = re.compile(rb'\A\s*\{(?=.*"private_key")(?=.*-----BEGIN [A-Z ]*PRIVATE KEY-----)', re.DOTALL)
# A file of AWS's credentials, whatever its name; the key that AWS's documentation shows is nobody's.
_ACCESS_KEYS = re.compile(
    rb"\A\s*\[[^\]\n]+\]\s*\n(?:.*\n)*?\s*aws_secret_access_key\s*=\s*(?!\S*EXAMPLE)[A-Za-z0-9/+]{40}\s*(?:\n|\Z)"
)
# A service account's JSON is about 2.4 KB, and says so from the start.
HEAD_BYTES = 4096


def is_junk(name: str) -> bool:
    """Whether a file or folder with this name is left behind by a tool."""
    return name in JUNK_NAMES or name.endswith(JUNK_SUFFIXES)


_SUSPECT = re.compile(
    rf"\.env.*|.*(?:{'|'.join(map(re.escape, _SUFFIXES))})|{'|'.join(map(re.escape, _NAMES))}|"
    + "|".join(re.escape(path.rpartition("/")[2]) for path in _PATHS),
    re.DOTALL,
)


def may_be_secret(name: str) -> bool:
    """Whether it is worth asking `secret_by_name` about a file of this name: of nearly all it is not."""
    return _SUSPECT.fullmatch(name) is not None


_ODD = JUNK_NAMES | _NAMES.keys() | {path.rpartition("/")[2] for path in _PATHS}
_ODD_STARTS = frozenset({".env"})
# The last four letters of a name that ends oddly.
_ODD_ENDS = frozenset(end[-4:] for end in (*JUNK_SUFFIXES, *_SUFFIXES))


def are_plain(names: Collection[str]) -> bool:
    """Whether none of `names` is junk or may be a secret; for a whole folder this is cheap, and nearly always so."""
    return (
        _ODD.isdisjoint(names)
        and _ODD_ENDS.isdisjoint([name[-4:] for name in names])
        and _ODD_STARTS.isdisjoint([name[:4] for name in names])
    )


def secret_by_name(path: str) -> str:
    """What the file at `path` (posix, relative) seems to be, like "a private key", or nothing."""
    name = path[path.rfind("/") + 1 :]
    if name.startswith(".env") and not name.endswith(_SAMPLES):
        return "an environment file"
    if name in _NAMES:
        return _NAMES[name]
    if "." in name and (what := _SUFFIXES.get(name[name.rfind(".") :])):
        return what
    tail = path.rsplit("/", 2)[-2:]
    return _PATHS.get("/".join(tail), "") if len(tail) == 2 else ""


def secret_by_content(head: bytes) -> str:
    """The same, from the first `HEAD_BYTES` of a file."""
    if b"PRIVATE KEY-----" not in head:
        return "cloud credentials" if b"aws_secret_access_key" in head and _ACCESS_KEYS.match(head) else ""
    if _PRIVATE_KEY.match(head):
        return "a private key"
    return "cloud credentials" if _SERVICE_ACCOUNT.match(head) else ""
