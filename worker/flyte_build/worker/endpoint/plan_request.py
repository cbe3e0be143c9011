"""What a client says when it asks for the build of a plan, with types. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

from flyte_build.registry.errors import InvalidInput
from flyte_build.worker.builds.plans import Places
from flyte_build.worker.stores.keys import parse_scope

_TEXTS = ("project", "domain", "target", "plan", "base")
_KNOWN = (*_TEXTS, "version", "images", "files", "tags", "force", "timeout")
_LONGEST = 2000
_MOST_TAGS = 20
_DAY = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedPlan:
    """`plan` is a native URL, as the values of `files` (by sha256) are; `images` are references by digest."""

    project: str
    domain: str
    target: str
    plan: str
    base: str
    images: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    force: bool = False
    timeout: float = 0.0

    @classmethod
    def parse(cls, body: bytes) -> AskedPlan:
        """Raises InvalidInput for anything that is not exactly such a document."""
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise InvalidInput("the request is not JSON") from error
        if not isinstance(document, dict) or document.get("version") != 1 or not set(document) <= set(_KNOWN):
            raise InvalidInput(
                "the request is not version 1 of what asks for a build",
                hint="let flyte-build and the service have the same version",
            )
        force, timeout, tags = document.get("force", False), document.get("timeout", 0), document.get("tags", [])
        if not isinstance(force, bool) or type(timeout) not in (int, float) or not 0 <= timeout <= _DAY:
            raise InvalidInput("force is not true or false, or timeout not seconds of a day")
        if not isinstance(tags, list) or len(tags) > _MOST_TAGS:
            raise InvalidInput(f"tags are not a list of at most {_MOST_TAGS}")
        texts = {name: _text(document.get(name), name) for name in _TEXTS}
        return cls(
            **texts | {kind: parse_scope(texts[kind], kind) for kind in ("project", "domain")},
            images=_pairs(document.get("images", {}), "images"),
            files=_pairs(document.get("files", {}), "files"),
            tags=tuple(_text(tag, "tags") for tag in tags),
            force=force,
            timeout=float(timeout),
        )

    def places(self, files: tuple[tuple[str, str], ...]) -> Places:
        """Where everything lies, with these objects of files."""
        return Places(base=self.base, images=self.images, tags=self.tags, files=files)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not value or len(value) > _LONGEST:
        raise InvalidInput(f"{name} is not a text of at most {_LONGEST} characters")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{name} is not Unicode text") from error
    return value


def _pairs(value: object, name: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{name} is not an object")
    return tuple(sorted((_text(key, name), _text(one, name)) for key, one in value.items()))
