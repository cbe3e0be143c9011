"""ImageSpec -> `spec.pb` + a context folder: what a remote builder of Flyte's takes; `wire` reads it back.

Files lie under the digests of their trees, so that equal specs are equal bytes on any machine. The message knows fewer
things than a spec; one that it cannot say is refused, never left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flyte_build.builder import check
from flyte_build.builder.reading import NoBases, Reading, nothing_skipped
from flyte_build.builder.resolve import skip_of
from flyte_build.builder.sources.sdk import FLYTE_USER, creates_flyte_user
from flyte_build.builder.sources.wire_layers import Packing, Unsaid, convert
from flyte_build.builder.spec import DEFAULT_PLATFORMS, ImageSpec, Layer, User, Workdir
from flyte_build.registry.errors import InvalidInput, InvalidSpec, Problem

_LAST = (User(name=FLYTE_USER), Workdir(path=f"/home/{FLYTE_USER}"))


def write(spec: ImageSpec, root: Path, context: Path) -> bytes:
    """The serialized message of `spec`, whose paths are relative to `root`; its files go below `context`.

    Raises InvalidSpec with everything that is wrong with the spec, and everything that the message has no words for.
    """
    problems = [*check.spec(spec), *_unsaid(spec)]
    if problems:
        raise InvalidSpec(f"image {spec.name!r}", tuple(problems))
    from flyteidl2.imagebuilder.definition_pb2 import ImageSpec as Message

    layers, owner = _as_the_sdk_says(spec.layers)
    skip = skip_of(root / spec.dockerignore) if spec.dockerignore is not None else nothing_skipped
    reading = Reading(root=root, python=spec.python, platforms=DEFAULT_PLATFORMS, bases=NoBases(), skip=skip)
    message = Message(
        base_image=spec.base_name,
        python_version=spec.python or "",
        platform=[str(platform) for platform in spec.platforms],
        layers=_layers(layers, owner, Packing(reading, context), problems),
    )
    if problems:
        raise InvalidSpec(f"image {spec.name!r}", tuple(problems))
    data: bytes = message.SerializeToString(deterministic=True)
    return data


def _unsaid(spec: ImageSpec) -> Iterable[Problem]:
    if spec.dockerfile is not None:
        yield Problem("dockerfile", "cannot be sent to a remote builder of Flyte's; build it here")


def _as_the_sdk_says(layers: tuple[Layer, ...]) -> tuple[tuple[Layer, ...], str | None]:
    """The message has no users: an image that makes the user `flyte` gives it all copies and ends as it."""
    if creates_flyte_user(layers) and layers[-2:] == _LAST:
        return layers[:-2], FLYTE_USER
    return layers, None


def _layers(layers: tuple[Layer, ...], owner: str | None, packing: Packing, problems: list[Problem]) -> list[Any]:
    messages: list[Any] = []
    for number, layer in enumerate(layers):
        try:
            own = getattr(layer, "owner", owner)
            if own != owner:
                raise Unsaid(f"the owner {own!r} cannot be said to a remote builder of Flyte's")
            messages += convert(layer, packing)
        except OSError as error:
            problems.append(Problem(check.place(number, layer), f"{error.filename} cannot be read: {error.strerror}"))
        except InvalidInput as error:
            hint = f" ({error.hint})" if error.hint else ""
            problems.append(Problem(check.place(number, layer), f"{error.sentence}{hint}"))
    return messages
