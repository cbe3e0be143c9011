"""`flyte.Image` -> ImageSpec. Reads the SDK's objects; never imports the SDK unless somebody already did.

The SDK offers no public view of an image's layers, so this reads `_layers` by the layers' class names, and refuses a
kind, or an option of one, that it does not know instead of leaving it out.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from flyte_build.builder.check import placed
from flyte_build.builder.sources.sdk_guard import require_version, unknown_options
from flyte_build.builder.sources.sdk_layers import LAYERS, secret_name
from flyte_build.builder.spec import Apt, CodeBundle, Commands, Copy, Env, ImageSpec, Layer, User, Workdir
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidSpec, Problem

FLYTE_USER = "flyte"
_NO_PYTHON = (Apt, CodeBundle, Copy, Env, User, Workdir)
# The command by which the SDK's Debian images create their user; both its builders then end the image as that user.
_CREATES_FLYTE_USER = "useradd --create-home --shell /bin/bash flyte"


def is_image(value: object) -> bool:
    """Whether `value` is a `flyte.Image`."""
    return _is(value, "Image")


def is_environment(value: object) -> bool:
    """Whether `value` is a `flyte.TaskEnvironment` (or another environment that has an image)."""
    return _is(value, "Environment") or _is(value, "TaskEnvironment")


def _is(value: object, name: str) -> bool:
    flyte = sys.modules.get("flyte")
    kind = getattr(flyte, name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def needs_build(image: Any) -> bool:  # noqa: ANN401 - a flyte.Image
    """Whether the SDK itself would build it: an untouched base, and a mere name of an image, are used as they are."""
    return bool(image._is_cloned) and (image._ref_name is None or bool(image._layers))


def to_spec(image: Any) -> ImageSpec:  # noqa: ANN401 - a flyte.Image
    """The spec of a `flyte.Image`. Paths stay as written: the SDK reads them relative to the working directory.

    Raises InvalidSpec for a kind of layer, or an option of one, that is not known here, InvalidInput for an SDK
    whose images are not.
    """
    require_version()
    name = image.name or "image"
    secret = image._image_registry_secret
    registry = {
        "registry": image.registry,
        "registry_secret": secret_name(secret.group, secret.key) if secret else None,
    }
    if image.dockerfile is not None:
        platforms = tuple(Platform.parse(text) for text in image.platform)
        return ImageSpec(name=name, **registry, dockerfile=str(image.dockerfile), platforms=platforms)
    layers = with_flyte_user(_layers(image, name))
    return ImageSpec(
        name=name,
        **registry,
        base=image.base_image,
        # The SDK itself gives such an image its base, when it deploys it.
        ref=image._ref_name if image.base_image is None else None,
        python=python_of(layers, ".".join(map(str, image.python_version))),
        platforms=tuple(Platform.parse(text) for text in image.platform),
        layers=layers,
        dockerignore=_dockerignore(image),
    )


def _layers(image: Any, name: str) -> tuple[Layer, ...]:  # noqa: ANN401
    problems: list[Problem] = []
    layers: list[Layer] = []
    for number, layer in enumerate(image._layers):
        kind = type(layer).__name__
        convert = LAYERS.get(kind)
        if convert is None:
            problems.append(Problem(f"layers[{number}]", f"{kind} is a kind of layer that is not supported yet"))
            continue
        unknown = [placed(problem, f"layers[{number}]") for problem in unknown_options(layer)]
        problems += unknown
        if not unknown and (converted := convert(layer)) is not None:
            layers.append(converted)
    if problems:
        raise InvalidSpec(f"image {name!r}", tuple(problems))
    return tuple(layers)


def python_of(layers: tuple[Layer, ...], python: str | None) -> str | None:
    """What the SDK says of the image's Python, where a layer needs one: else it is merely the caller's own."""
    return python if any(not isinstance(layer, _NO_PYTHON) for layer in layers) else None


def with_flyte_user(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """The layers as the SDK means them: an image that creates the user `flyte` gives it copies, and ends as it."""
    if not creates_flyte_user(layers):
        return layers
    owned = [replace(layer, owner=FLYTE_USER) if isinstance(layer, (Copy, CodeBundle)) else layer for layer in layers]
    return (*owned, User(name=FLYTE_USER), Workdir(path="/home/flyte"))


def creates_flyte_user(layers: tuple[Layer, ...]) -> bool:
    """Whether one of the commands is the SDK's own that makes the user."""
    commands = [command for layer in layers if isinstance(layer, Commands) for command in layer.commands]
    return any(_CREATES_FLYTE_USER in command for command in commands)


def _dockerignore(image: Any) -> str | None:  # noqa: ANN401
    """The file that the image names, else the one beside the program, as Docker would find it."""
    named = [layer.path for layer in image._layers if type(layer).__name__ == "DockerIgnore" and layer.path.strip()]
    if named:
        return str(named[-1])
    return ".dockerignore" if Path(".dockerignore").is_file() else None
