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
from pathlib import Path

from flyte_build.builder.sources.fields import Fields
from flyte_build.registry.errors import InvalidInput, InvalidSpec, Problem
from flyte_build.worker.access.policy import Limits, Place, ProjectRule
from flyte_build.worker.access.rules import REDIRECT, Allow, Issuer, Login, Rules, StaticToken, is_safe
from flyte_build.worker.access.values import Projects

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MIB = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


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
