"""Who asks, and what they may: values only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from flyte_build.registry.errors import InvalidInput

STATIC = "token"


def matches(pattern: str, text: str) -> bool:
    """Whether `text` is what `pattern` says; `*` stands for anything, and nothing else is special."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody whose token was verified. `issuer` is `STATIC` for a static token, whose name is then the subject.

    `expires` in seconds since 1970, None for a token that does not. `claims` may hold what is nobody else's business.
    """

    issuer: str
    subject: str
    expires: float | None = None
    claims: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Projects:
    """A project, or many: `name`, `name/domain`, with `*` for any part of either. Without a domain, all of them."""

    name: str
    domain: str = "*"

    @classmethod
    def parse(cls, text: str) -> Projects:
        """InvalidInput for a text with more than one slash or an empty part."""
        name, slash, domain = text.partition("/")
        if not name or "/" in domain or (slash and not domain):
            raise InvalidInput(f"{text!r} does not name projects", hint='write "name", "name/domain", or "*" for all')
        return cls(name=name, domain=domain or "*")

    def has(self, project: str, domain: str) -> bool:
        """Whether this project and domain are among them."""
        return matches(self.name, project) and matches(self.domain, domain)

    def __str__(self) -> str:
        return self.name if self.domain == "*" else f"{self.name}/{self.domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, and for which projects they may. `who` is for logs. `expires`: see `Identity`."""

    who: str
    projects: tuple[Projects, ...]
    expires: float | None = None

    def may(self, project: str, domain: str) -> bool:
        """Whether this caller may do anything in that project and domain."""
        return any(one.has(project, domain) for one in self.projects)


ANYONE = Caller(who="anyone on this machine", projects=(Projects(name="*"),))
NOBODY = Caller(who="nobody", projects=())
