"""Who is believed and what they may, as values: what the rules file says (see `rules_file`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from flyte_build.worker.access.policy import ProjectRule
from flyte_build.worker.access.values import STATIC, Caller, Identity, Projects, matches

# Where the SDK listens for the answer of a browser login, unless it is told another place.
REDIRECT = "http://localhost:53593/callback"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """An OIDC issuer. `keys` is the URL of its JWKS, discovered if empty; `ca` and `token_file` are for fetching it."""

    url: str
    audiences: tuple[str, ...]
    keys: str = ""
    ca: Path | None = None
    token_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticToken:
    """A static token, by the SHA-256 (hex) of it."""

    name: str
    sha256: str
    projects: tuple[Projects, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Allow:
    """What identities of an issuer may: those whose subject matches and who have all of `claims`."""

    issuer: str
    subject: str
    projects: tuple[Projects, ...]
    claims: tuple[tuple[str, str], ...] = ()

    def means(self, identity: Identity) -> bool:
        """Whether this rule is about them. A claim that is a list has to hold the value."""
        if identity.issuer != self.issuer or not matches(self.subject, identity.subject):
            return False
        held = [(identity.claims.get(name), value) for name, value in self.claims]
        return all(value in have if isinstance(have, list) else have == value for have, value in held)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What `AuthMetadataService` tells clients that log in by themselves."""

    issuer: str
    client_id: str
    scopes: tuple[str, ...] = ()
    audience: str = ""
    redirect_uri: str = REDIRECT


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The whole file."""

    issuers: tuple[Issuer, ...] = ()
    tokens: tuple[StaticToken, ...] = ()
    allows: tuple[Allow, ...] = ()
    projects: tuple[ProjectRule, ...] = ()
    login: Login | None = None

    def caller(self, identity: Identity) -> Caller:
        """What somebody may, by every rule that is about them."""
        if identity.issuer == STATIC:
            projects = tuple(one for token in self.tokens if token.name == identity.subject for one in token.projects)
        else:
            projects = tuple(one for rule in self.allows if rule.means(identity) for one in rule.projects)
        return Caller(who=f"{identity.subject} ({identity.issuer})", projects=projects, expires=identity.expires)


def is_safe(url: str) -> bool:
    """Whether nobody on the way can change what this URL answers: https, or http that stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
