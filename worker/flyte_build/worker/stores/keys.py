"""Names of the objects that the service keeps, and the URLs under which containers find them.

`X.parse(str(x)) == x`. A native URL is what a task's container opens; it names a place that exists only inside
containers started by the service, which mounts the run's own objects there and nothing else.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from dataclasses import dataclass

from flyte_build.registry.errors import InvalidName, ServiceDenied

NATIVE_ROOT = "/flyte-build/store"
_NATIVE_PREFIX = f"file://{NATIVE_ROOT}/"
AREAS = ("uploads", "inputs")
_SCOPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_MAX_PART = 200
_MAX_KEY = 800


def parse_scope(text: str, what: str) -> str:
    """`text` if it can name a project, a domain, a run or an action, else InvalidName naming `what`."""
    if not _SCOPE.fullmatch(text):
        raise InvalidName(f"{text[:80]!r} is not the name of a {what}", hint="use up to 63 letters, digits and . _ -")
    return text


def _parse_part(text: str) -> str:
    bad = any(unicodedata.category(character)[0] == "C" or character in "/\\" for character in text)
    if not text or text in (".", "..") or bad or len(text.encode(errors="replace")) > _MAX_PART:
        raise InvalidName(f"{text[:80]!r} is not a file name", hint="use a plain name of at most 200 bytes")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectKey:
    """`<area>/<project>/<domain>/<place>/<name…>`: no part is empty, a dot, hidden behind a slash or a control."""

    area: str
    project: str
    domain: str
    place: str
    name: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> ObjectKey:
        """Raises InvalidName for anything that this class would not print."""
        area, *rest = text.split("/")
        if area not in AREAS or len(rest) < 4 or len(text) > _MAX_KEY:
            raise InvalidName(f"{text[:80]!r} is not the name of an object of this store")
        project, domain, place, *name = rest
        return cls(
            area=area,
            project=parse_scope(project, "project"),
            domain=parse_scope(domain, "domain"),
            place=_parse_part(place),
            name=tuple(_parse_part(part) for part in name),
        )

    @classmethod
    def upload(cls, project: str, domain: str, place: str, filename: str) -> ObjectKey:
        """The key of an upload: `place` is `md5_place(…)` or the root that the client chose for a directory."""
        return cls.parse(f"uploads/{project}/{domain}/{place}/{filename or 'file'}")

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the path, in order."""
        return (self.area, self.project, self.domain, self.place, *self.name)

    @property
    def native_url(self) -> str:
        """What a container of this project opens."""
        return f"{_NATIVE_PREFIX}{self}"

    def belongs_to(self, project: str, domain: str) -> bool:
        """Whether the object was issued to this project and domain."""
        return (self.project, self.domain) == (project, domain)

    def __str__(self) -> str:
        return "/".join(self.parts)


def md5_place(md5: bytes) -> str:
    """Where content of this MD5 lives: 26 characters of base32, as Flyte's own data proxy names it."""
    return base64.b32encode(md5).decode().rstrip("=").lower()


def is_native(text: str) -> bool:
    """Whether `text` claims to be a native URL of this store (it may still be refused)."""
    return text.startswith((_NATIVE_PREFIX, f"{NATIVE_ROOT}/"))


def key_of_native(url: str, project: str, domain: str) -> ObjectKey:
    """The key behind `url`; ServiceDenied unless this store issued it to exactly this project and domain."""
    refused = ServiceDenied(
        f"{url[:200]!r} was not issued by this store to the project {project}/{domain}",
        hint="upload the file again with the same project and domain",
    )
    prefix = _NATIVE_PREFIX if url.startswith(_NATIVE_PREFIX) else f"{NATIVE_ROOT}/"
    if not url.startswith(prefix):
        raise refused
    try:
        key = ObjectKey.parse(url.removeprefix(prefix))
    except InvalidName as error:
        raise refused from error
    if not key.belongs_to(project, domain):
        raise refused
    return key
