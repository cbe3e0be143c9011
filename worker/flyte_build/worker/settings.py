"""Settings of the client: flags first, then `FLYTE_BUILD_*`, then `[tool.flyte-build]` of the nearest pyproject.toml.

What a user already told Flyte in its `config.yaml` (`image.registry`, `admin.endpoint`) counts last.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from flyte_build.builder.sources.fields import Fields
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidInput, InvalidSpec, Problem

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Where nobody says anything else, as in Flyte's own examples.
PROJECT, DOMAIN = "flytesnacks", "development"
_TEXTS = ("registry", "builder", "endpoint", "project", "domain", "store", "sign", "builder_id")
# On, unless somebody says false.
SWITCHES = ("sbom", "provenance", "tlog")
# No setting: the bundler reads it, with what it says of packages' data.
_OF_BUNDLES = "package-data"
_KEYS = (*_TEXTS, *SWITCHES, "platforms", "images", "secret_providers")
_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is configured; None or empty where nothing is. `insecure` is about `endpoint`: it speaks plain http.

    `images` are bases by name (`ref` of a spec, `flyte.Image.from_ref_name`), `secret_providers` are asked in order.
    `sign` is a key, `builder_id` the URI of whoever builds, `switches` are what was turned on or off by name.
    """

    registry: str | None = None
    platforms: tuple[Platform, ...] = ()
    builder: str | None = None
    endpoint: str | None = None
    project: str | None = None
    domain: str | None = None
    store: str | None = None
    sign: str | None = None
    builder_id: str | None = None
    switches: tuple[tuple[str, bool], ...] = ()
    images: tuple[tuple[str, str], ...] = ()
    secret_providers: tuple[str, ...] = ()
    insecure: bool = False

    def is_on(self, name: str) -> bool:
        """Whether one of the `SWITCHES` is on."""
        return dict(self.switches).get(name, True)


def load(folder: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings in force in `folder`. Raises InvalidSpec for a table with keys or values that mean nothing."""
    environment = os.environ if environment is None else environment
    settings = Settings()
    for source in (_from_flyte, _from_pyproject, _from_environment):
        settings = _over(settings, source(folder, environment))
    return settings


def _over(below: Settings, above: Settings) -> Settings:
    given = {field.name: value for field in fields(above) if (value := getattr(above, field.name))}
    if above.endpoint:
        given["insecure"] = above.insecure  # it was said of the other endpoint
    if above.images:
        given["images"] = tuple(sorted({**dict(below.images), **dict(above.images)}.items()))
    if above.switches:
        given["switches"] = tuple(sorted({**dict(below.switches), **dict(above.switches)}.items()))
    return replace(below, **given)


def _from_environment(_: Path, environment: Mapping[str, str]) -> Settings:
    found: dict[str, Any] = {key: environment.get(f"FLYTE_BUILD_{key.upper()}") or None for key in _TEXTS}

    def several(key: str) -> tuple[str, ...]:
        return tuple(text for text in environment.get(f"FLYTE_BUILD_{key}", "").split(",") if text)

    platforms = tuple(Platform.parse(text) for text in several("PLATFORMS"))
    switches = tuple((key, _switched(key, text)) for key in SWITCHES if (text := _variable(key, environment)))
    return Settings(**found, platforms=platforms, switches=switches, secret_providers=several("SECRET_PROVIDERS"))


def _variable(key: str, environment: Mapping[str, str]) -> str:
    return environment.get(f"FLYTE_BUILD_{key.upper()}", "").strip().lower()


def _switched(key: str, text: str) -> bool:
    if text not in _TRUE | _FALSE:
        raise InvalidInput(f"FLYTE_BUILD_{key.upper()} is {text!r}", hint="write true or false")
    return text in _TRUE


def _from_pyproject(folder: Path, _: Mapping[str, str]) -> Settings:
    file = next((place / "pyproject.toml" for place in _upwards(folder) if (place / "pyproject.toml").is_file()), None)
    if file is None:
        return Settings()
    try:
        text = file.read_text(encoding="utf-8")
        # Reading TOML is cheap, but most pyproject files do not concern us at all.
        table = tomllib.loads(text).get("tool", {}).get("flyte-build", {}) if "flyte-build" in text else {}
    except (OSError, ValueError) as error:
        raise InvalidSpec(str(file), (Problem("", f"cannot be read: {error}"),)) from error
    problems: list[Problem] = []
    found = Fields(table, "tool.flyte-build", problems)
    found.only((*_KEYS, _OF_BUNDLES))
    texts = {key: found.text(key) for key in _TEXTS}
    platforms, images, asked = found.texts("platforms"), found.text_table("images"), found.texts("secret_providers")
    switches = tuple((key, found.flag(key)) for key in SWITCHES if key in table)
    if problems:
        raise InvalidSpec(str(file), tuple(problems))
    parsed = tuple(Platform.parse(text) for text in platforms)
    named = tuple(sorted(images.items()))
    lists = {"platforms": parsed, "images": named, "secret_providers": asked, "switches": switches}
    return Settings(**texts, **lists)  # type: ignore[arg-type] # texts


def _upwards(folder: Path) -> tuple[Path, ...]:
    folder = folder.resolve()
    return (folder, *folder.parents)


def _from_flyte(folder: Path, environment: Mapping[str, str]) -> Settings:
    """Flyte's own file, where its SDK looks: `FLYTECTL_CONFIG`, `./config.yaml`, `./.flyte/`, `~/.flyte/`."""
    places = (
        Path(environment["FLYTECTL_CONFIG"]) if environment.get("FLYTECTL_CONFIG") else None,
        folder / "config.yaml",
        folder / ".flyte" / "config.yaml",
        Path.home() / ".flyte" / "config.yaml",
    )
    file = next((place for place in places if place is not None and place.is_file()), None)
    if file is None:
        return Settings()
    import yaml

    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return Settings()  # the SDK itself reports a broken file of its own
    if not isinstance(document, dict):
        return Settings()

    def text(section: str, key: str) -> str | None:
        value = document.get(section)
        found = value.get(key) if isinstance(value, dict) else None
        return found if isinstance(found, str) else None

    admin, images = document.get("admin"), document.get("image")
    refs = images.get("image_refs") if isinstance(images, dict) else None
    return Settings(
        registry=text("image", "registry"),
        endpoint=text("admin", "endpoint"),
        insecure=isinstance(admin, dict) and admin.get("insecure") is True,
        project=text("task", "project"),
        domain=text("task", "domain"),
        images=tuple(sorted((str(name), str(uri)) for name, uri in refs.items())) if isinstance(refs, dict) else (),
    )
