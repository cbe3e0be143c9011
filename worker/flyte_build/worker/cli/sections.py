"""Under which headings help shows commands and flags: forty flags in one list are read by nobody."""

from __future__ import annotations

COMMANDS = {
    "Images": ("image", "images", "verify"),
    "Bundles": ("bundle", "bundles"),
    "Build service": ("serve", "worker", "register", "builds", "token"),
    "This machine and CI": ("doctor", "ci"),
}

_TRUST = ("--sbom", "--provenance", "--sign", "--tlog")
_LOGIN = ("--username", "--password-stdin")
_SERVICE_ASKED = ("--endpoint", "--project", "--domain", "--insecure")
_TALK = ("--progress", "--json", "--help")
_SHARED = ("--state", "--database", "--broker", "--store")
_BUILDERS = ("--builder", "--builder-tls", "--concurrency", "--platform", "--cache-keep")
_IN_TIME = ("--lease", "--queue-timeout")

# Of each command with many flags: heading, and the flags below it.
FLAGS: dict[str, dict[str, tuple[str, ...]]] = {
    "image": {
        "Name and place": ("--registry", "--name", "--tag", "--platform", *_LOGIN),
        "What to do": ("--check", "--why", "--dry-run", "--toml", "--push", "--load", "--force", "--no-cache"),
        "Pin and reproduce": ("--locked", "--update", "--reproducible"),
        "Who builds": ("--engine", "--builder", "--create-builder", "--timeout"),
        "A build service (--engine remote)": _SERVICE_ASKED,
        "Secrets, caches, layers": ("--secret", "--cache-from", "--cache-to", "--compression"),
        "Trust": ("--attach", *_TRUST),
        "ECR": ("--create-repository", "--repository-tag", "--repository-untagged-days"),
        "What is shown": _TALK,
    },
    "bundle": {
        "What goes in": ("--all", "--entrypoint", "--pickle", "--include", "--root", "--max-size"),
        "Where it goes": (*_SERVICE_ASKED, "--store", "--output", *_LOGIN),
        "What to do": ("--dry-run", "--explain", "--no-cache"),
        "What is shown": ("--json", "--help"),
    },
    "serve": {
        "Where it listens": ("--host", "--port", "--public-url", "--tls-cert", "--tls-key"),
        "What it keeps, and where": (*_SHARED, "--keep-logs", "--keep-builds"),
        "Images": ("--registry", "--trust-registry", "--trust-sdk-tags", "--build-task"),
        "Builders": ("--no-worker", *_BUILDERS),
        "Who may": ("--access", "--secrets"),
        "Trust": _TRUST,
        "In time": _IN_TIME,
        "What is shown": ("--log-format", "--help"),
    },
    "worker": {
        "What it shares with the endpoint": (*_SHARED, "--registry", "--trust-registry"),
        "Builders": _BUILDERS,
        "Who may": ("--access", "--secrets"),
        "Trust": _TRUST,
        "In time": (*_IN_TIME, "--build-timeout", "--drain"),
        "What is shown": ("--log-format", "--metrics-port", "--metrics-host", "--help"),
    },
}
