"""The rules file (TOML) -> who is believed, and what they may. The whole file is checked; every problem is told.

[[issuer]]   url, audience, [keys, ca, token_file]      whose OIDC tokens are believed
[[token]]    name, sha256, projects                     a static token by its hash
[[allow]]    issuer, subject, projects, [claims]        what an OIDC identity may
[[project]]  name, [registries, bases, …]               where its images go, and how much it may ask for
[login]      issuer, client_id, [scopes, audience, …]   what the SDK needs to log in by itself
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from flyte_build.builder.sources.fields import Fields
from flyte_build.registry.errors import InvalidInput, InvalidSpec, Problem
from flyte_build.worker.access.policy import Limits, Place, ProjectRule
from flyte_build.worker.access.values import STATIC, Caller, Identity, Projects, matches

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MIB = 1 << 20
# Where the SDK listens for the answer of a browser login, unless it is told another place.
REDIRECT = "http://localhost:53593/callback"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SHA256 = re.compile(r"[0-9a-f]{64}")


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
        return Caller(who=f"{identity.subject} ({identity.issuer})", projects=projects)


def is_safe(url: str) -> bool:
    """Whether nobody on the way can change what this URL answers: https, or http that stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def read(file: Path) -> Rules:
    """The rules in `file`. Raises InvalidSpec with everything that is wrong in it, InvalidInput if it is not there."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the rules of who may cannot be read from {file}: {error}") from error
    return parse(text, str(file))


def parse(text: str, source: str) -> Rules:
    """The rules in `text`; `source` names them in errors. Raises InvalidSpec."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidSpec(source, (Problem("", f"is not TOML: {error}"),)) from error
    problems: list[Problem] = []
    whole = Fields(document, "", problems)
    whole.only(("issuer", "token", "allow", "project", "login"))
    issuers = tuple(_issuer(one) for one in whole.tables("issuer"))
    known = {issuer.url for issuer in issuers}
    login = document.get("login")
    rules = Rules(
        issuers=issuers,
        tokens=tuple(_token(one) for one in whole.tables("token")),
        allows=tuple(_allow(one, known) for one in whole.tables("allow")),
        projects=tuple(_project(one) for one in whole.tables("project")),
        login=_login(whole.below("login", login), known) if isinstance(login, dict) else None,
    )
    if not rules.tokens and not rules.allows:
        problems.append(Problem("", "nobody may do anything; write an [[allow]] or a [[token]]"))
    if problems:
        raise InvalidSpec(source, tuple(problems))
    return rules


def _issuer(table: Fields) -> Issuer:
    table.only(("url", "audience", "keys", "ca", "token_file"))
    audiences = table.texts("audience")
    if not audiences:
        table.problem("audience", "is missing: a token made for somebody else must not count here")
    url, keys = table.required_text("url"), table.text("keys") or ""
    for key, value in (("url", url), ("keys", keys)):
        if value and not is_safe(value):
            table.problem(key, "is not https; plain http is for loopback only")
    ca, token = table.text("ca"), table.text("token_file")
    return Issuer(
        url=url, audiences=audiences, keys=keys, ca=Path(ca) if ca else None, token_file=Path(token) if token else None
    )


def _token(table: Fields) -> StaticToken:
    table.only(("name", "sha256", "projects"))
    sha256 = table.required_text("sha256")
    if sha256 and not _SHA256.fullmatch(sha256):
        table.problem("sha256", "is not 64 hex digits; make a token with: flyte-build token NAME")
    return StaticToken(name=table.required_text("name"), sha256=sha256, projects=_projects(table))


def _allow(table: Fields, issuers: set[str]) -> Allow:
    table.only(("issuer", "subject", "projects", "claims"))
    issuer = table.required_text("issuer")
    if issuer and issuer not in issuers:
        table.problem("issuer", "is none of the [[issuer]] urls")
    claims = tuple(sorted(table.text_table("claims").items()))
    return Allow(issuer=issuer, subject=table.required_text("subject"), projects=_projects(table), claims=claims)


def _project(table: Fields) -> ProjectRule:
    table.only(("name", "registries", "bases", "queued", "running", "context_mib", "build_seconds"))
    registries, bases = table.texts("registries"), table.texts("bases")
    for key, places in (("registries", registries), ("bases", bases)):
        for place in places:
            try:
                Place.parse(place.replace("{project}", "p"))
            except InvalidInput as error:
                table.problem(key, error.sentence)
    name = table.required_text("name")
    limits = Limits(
        queued=table.whole("queued"),
        running=table.whole("running"),
        context_bytes=table.whole("context_mib") * _MIB,
        build_seconds=table.whole("build_seconds"),
    )
    (projects,) = _parsed(table, "name", (name or "*",))
    return ProjectRule(projects=projects, registries=registries, bases=bases, limits=limits)


def _login(table: Fields, issuers: set[str]) -> Login:
    table.only(("issuer", "client_id", "scopes", "audience", "redirect_uri"))
    issuer = table.required_text("issuer")
    if issuer and issuer not in issuers:
        table.problem("issuer", "is none of the [[issuer]] urls")
    return Login(
        issuer=issuer,
        client_id=table.required_text("client_id"),
        scopes=table.texts("scopes"),
        audience=table.text("audience") or "",
        redirect_uri=table.text("redirect_uri") or REDIRECT,
    )


def _projects(table: Fields) -> tuple[Projects, ...]:
    texts = table.texts("projects")
    if not texts:
        table.problem("projects", "is missing; it lists the projects that they may use")
    return _parsed(table, "projects", texts)


def _parsed(table: Fields, key: str, texts: tuple[str, ...]) -> tuple[Projects, ...]:
    found = []
    for text in texts:
        try:
            found.append(Projects.parse(text))
        except InvalidInput as error:
            table.problem(key, f"{error.sentence}; {error.hint}")
            found.append(Projects(name="*"))
    return tuple(found)
