"""`flyte-build.lock`: what a spec leaves open, written down. Values and their text; pure.

A lock lies beside the source of a spec and is meant to be committed. It pins the digest of every base, and, for each
request of packages, the exact versions with their hashes. `parse(format(lock)) == lock`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace

from flyte_build.builder.sources.fields import Fields
from flyte_build.registry.errors import InvalidInput, InvalidSpec, Problem
from flyte_build.registry.names import Digest, ImageName

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE_NAME = "flyte-build.lock"
VERSION = 1
_HEAD = "# Made by `flyte-build image --update`; `--locked` builds exactly this. Commit it beside the spec.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedBase:
    """A base by the name in the spec (canonical), and the digest it had."""

    name: str
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPackages:
    """What a request of packages came to: `request` is its digest, `pins` lines of a requirements file with hashes.

    A request is the packages, requirement files, options and Python version of one layer together with the pins of
    the layers before it; whatever changes in it asks for a new resolution. Pins are for every platform at once: what
    only some need carries its marker.
    """

    request: Digest
    pins: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """All that is pinned for the specs of one folder."""

    bases: tuple[LockedBase, ...] = ()
    packages: tuple[LockedPackages, ...] = ()

    def base(self, name: ImageName) -> Digest | None:
        """The digest that `name` is pinned to."""
        return next((base.digest for base in self.bases if base.name == str(name)), None)

    def pins(self, request: Digest) -> tuple[str, ...] | None:
        """What `request` is pinned to."""
        return next((packages.pins for packages in self.packages if packages.request == request), None)

    def with_base(self, name: ImageName, digest: Digest) -> Lock:
        """This lock with one base renewed."""
        others = tuple(base for base in self.bases if base.name != str(name))
        return replace(self, bases=(*others, LockedBase(name=str(name), digest=digest)))

    def with_pins(self, request: Digest, pins: tuple[str, ...]) -> Lock:
        """This lock with one request renewed."""
        others = tuple(packages for packages in self.packages if packages.request != request)
        return replace(self, packages=(*others, LockedPackages(request=request, pins=pins)))


def format_lock(lock: Lock) -> str:
    """TOML, sorted, so that equal locks are equal files."""
    lines = [_HEAD, f"version = {VERSION}\n"]
    for base in sorted(lock.bases, key=lambda base: base.name):
        lines.append(f"\n[[bases]]\nname = {_text(base.name)}\ndigest = {_text(str(base.digest))}\n")
    for packages in sorted(lock.packages, key=lambda packages: str(packages.request)):
        pins = "".join(f"    {_text(pin)},\n" for pin in packages.pins)
        lines.append(f"\n[[packages]]\nrequest = {_text(str(packages.request))}\npins = [\n{pins}]\n")
    return "".join(lines)


def parse_lock(text: str, *, source: str) -> Lock:
    """Raises InvalidSpec with everything that is wrong, or that another version made it; `source` names the file."""
    problems: list[Problem] = []
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        hint = "take it back from version control, or remove it and make it anew with --update"
        raise InvalidSpec(source, (Problem("", f"is not TOML: {error}"),), hint=hint) from error
    if document.get("version") != VERSION:
        what = f"is of version {document.get('version')!r}, and this flyte-build reads {VERSION}"
        raise InvalidSpec(source, (Problem("version", what),), hint="renew it with --update")
    top = Fields(document, "", problems)
    top.only(("version", "bases", "packages"))
    bases = tuple(_base(fields) for fields in top.tables("bases"))
    packages = tuple(_packages(fields) for fields in top.tables("packages"))
    if problems:
        raise InvalidSpec(source, tuple(problems), hint="renew it with --update")
    return Lock(bases=tuple(base for base in bases if base), packages=tuple(one for one in packages if one is not None))


def _base(fields: Fields) -> LockedBase | None:
    fields.only(("name", "digest"))
    digest = _digest(fields, "digest")
    return LockedBase(name=fields.required_text("name"), digest=digest) if digest else None


def _packages(fields: Fields) -> LockedPackages | None:
    fields.only(("request", "pins"))
    request = _digest(fields, "request")
    return LockedPackages(request=request, pins=fields.texts("pins")) if request else None


def _digest(fields: Fields, key: str) -> Digest | None:
    try:
        return Digest.parse(fields.required_text(key))
    except InvalidInput as error:
        fields.problem(key, error.sentence)
        return None


def _text(value: str) -> str:
    """A TOML basic string; JSON's escapes are a subset of TOML's (TOML 1.0, "String"), save for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
