"""`image.toml`: an image spec as a document.

    name = "train"
    python = "3.12"

    [[layers]]
    apt = ["git"]

    [[layers]]
    pip = ["numpy", "httpx>=0.27"]
    pre = true

Several images are `[[images]]` tables. Each layer has exactly one key that says what it is (`toml_layers`). Unknown
keys are refused, with the nearest known one. `image.schema.json` says the same to editors.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from flyte_build.builder.sources.fields import Fields
from flyte_build.builder.sources.source import FoundSpec
from flyte_build.builder.sources.toml_layers import read_layer
from flyte_build.builder.spec import ImageSpec
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidInput, InvalidSpec, Problem

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_LIMIT = 1 << 20
IMAGE_KEYS = (
    *("name", "registry", "registry_secret", "base", "ref", "python"),
    *("platforms", "dockerignore", "dockerfile", "layers"),
)


def read(file: Path) -> tuple[FoundSpec, ...]:
    """The specs of an `image.toml`. Raises InvalidSpec with everything that is wrong with the document."""
    try:
        if file.stat().st_size > _LIMIT:
            raise InvalidInput(f"{file} is larger than 1 MiB, too large for a spec")
        text = file.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file} is not UTF-8 text", hint="save it as UTF-8") from error
    except FileNotFoundError as error:
        raise InvalidInput(
            f"{file} does not exist", hint="name an image.toml; paths are relative to the folder that you are in"
        ) from error
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{file} is not TOML: {error}", hint="correct it there; texts stand in quotes") from error
    except RecursionError as error:
        raise InvalidInput(f"{file} is nested too deeply for a spec") from error
    return tuple(
        FoundSpec(spec=spec, root=file.parent, origin=f"{file.name}: {spec.name}")
        for spec in parse(document, source=str(file))
    )


def parse(document: dict[str, Any], *, source: str) -> tuple[ImageSpec, ...]:
    """The specs of a decoded document; `source` names it in errors."""
    problems: list[Problem] = []
    if "images" in document:
        top = Fields(document, "", problems)
        top.only(("images",))
        images = [_image(fields) for fields in top.tables("images")]
        if not images and not problems:
            top.problem("images", "is empty")
    else:
        images = [_image(Fields(document, "", problems), ("images",))]
    names = [image.name for image in images if image.name]
    problems += [
        Problem("images", f"two images are named {name!r}") for name in sorted(set(names)) if names.count(name) > 1
    ]
    if problems:
        raise InvalidSpec(source, tuple(problems))
    return tuple(images)


def _image(fields: Fields, besides: tuple[str, ...] = ()) -> ImageSpec:
    fields.only((*IMAGE_KEYS, *besides))
    if any(map(fields.is_meant, besides)):
        return ImageSpec(name="")  # nothing else in it is a key of an image
    return ImageSpec(
        name=fields.required_text("name"),
        registry=fields.text("registry"),
        registry_secret=fields.text("registry_secret"),
        base=fields.text("base"),
        ref=fields.text("ref"),
        python=fields.text("python"),
        platforms=_platforms(fields),
        dockerignore=fields.text("dockerignore"),
        dockerfile=fields.text("dockerfile"),
        layers=tuple(layer for table in fields.tables("layers") if (layer := read_layer(table)) is not None),
    )


def _platforms(fields: Fields) -> tuple[Platform, ...]:
    platforms = []
    for number, text in enumerate(fields.texts("platforms")):
        try:
            platforms.append(Platform.parse(text))
        except InvalidInput as error:
            fields.problem(f"platforms[{number}]", f"{error.sentence} ({error.hint})")
    return tuple(platforms)
