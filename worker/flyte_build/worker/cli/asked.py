"""The flags of `flyte-build image`, with types and in sense with each other; what is not given comes from settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import click
from click.core import ParameterSource

from flyte_build.builder import recipe
from flyte_build.builder.engine import Compression, Output
from flyte_build.builder.provenance import BUILDER_CLI
from flyte_build.builder.sources.find import find_specs
from flyte_build.builder.sources.source import FoundSpec
from flyte_build.builder.spec import ImageSpec
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.names import Registry, Repository, Target, parse_tag
from flyte_build.worker import settings as configured
from flyte_build.worker.cli.remote import REFUSED, registry_of
from flyte_build.worker.cli.secrets import secret_sources
from flyte_build.worker.cli.trusting import TrustFlags
from flyte_build.worker.cli.wishes import wishes_of
from flyte_build.worker.drivers import image as driver
from flyte_build.worker.drivers import locked, references
from flyte_build.worker.secrets.gather import SecretSources

# Flags that say yes and no: only the no can be refused.
_YES = {"push": "--no-push", "attach": "--no-attach", "sbom": "--no-sbom", "provenance": "--no-provenance"}
_CONTRADICTIONS = (
    ("load", "push"),
    ("check", "dry_run"),
    ("check", "force"),
    ("check", "update"),
    ("locked", "update"),
)
_PARSED: dict[str, Callable[[str], object]] = {
    "tags": parse_tag,
    "platforms": lambda text: recipe.uv_wheel(Platform.parse(text)),
    "registry": lambda text: Repository.parse(f"{text}/image"),
    "name": lambda text: Repository.parse(f"registry.invalid/{text}"),
}


class Asked:
    """The flags, with types; what is not given comes from the settings."""

    def __init__(self, flags: dict[str, object], trusting: TrustFlags) -> None:
        self._flags = flags
        self._trusting = trusting
        self._settings = configured.load(Path.cwd())

    def is_set(self, name: str) -> bool:
        return bool(self._flags[name])

    def text(self, name: str) -> str | None:
        value = self._flags[name]
        return value if isinstance(value, str) else None

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._flags[name]
        return value if isinstance(value, tuple) else ()

    def caches(self, name: str, target: Target) -> tuple[str, ...]:
        """Cache sources or sinks of one image: several images in one cache would overwrite each other's."""
        own = {"{name}": target.repository.path.rpartition("/")[2], "{repository}": str(target.repository)}
        found = self.texts(name)
        for mark, value in own.items():
            found = tuple(text.replace(mark, value) for text in found)
        return found

    def number(self, name: str) -> float | None:
        value = self._flags[name]
        return value if isinstance(value, float) else None

    def require_sense(self) -> None:
        """Raises click.UsageError for flags that contradict each other or that have values of no meaning."""
        for one, other in _CONTRADICTIONS:
            if self._given(one) and self._given(other):
                raise click.UsageError(f"{_flag(one)} and {_flag(other)} contradict each other: give one of them")
        for name, why in REFUSED.items() if self.text("engine") == "remote" else ():
            if self._given(name) and not (name in _YES and self._says_yes(name)):
                raise click.UsageError(f"{_YES.get(name) or _flag(name)} does not go with --engine remote: {why}")
        if self._trusting.sign and self.output != "push":
            raise click.UsageError("--sign signs what is pushed: it does not go with --load or --no-push")
        for name, parse in _PARSED.items():
            for text in self.texts(name) or ((self.text(name),) if self.text(name) else ()):
                _parsed(name, parse, str(text))

    def _says_yes(self, name: str) -> bool:
        return bool(self._flags.get(name, getattr(self._trusting, name, False)))

    def _given(self, name: str) -> bool:
        context = click.get_current_context()
        return context.get_parameter_source(name) is ParameterSource.COMMANDLINE

    @property
    def mode(self) -> str:
        """How progress looks."""
        return self.text("mode") or "auto"

    @property
    def lock(self) -> locked.LockMode:
        return "locked" if self.is_set("locked") else "update" if self.is_set("update") else "bases"

    @property
    def tags(self) -> tuple[str, ...]:
        return self.texts("tags")

    def as_written(self) -> tuple[ImageSpec, ...]:
        """The specs of every SOURCE without what flags and settings say."""
        return tuple(one.spec for source in self.texts("sources") for one in find_specs(source))

    def specs(self) -> list[FoundSpec]:
        found = [one for source in self.texts("sources") for one in find_specs(source)]
        if self.text("name") and len(found) > 1:
            names = ", ".join(one.spec.name for one in found)
            raise click.UsageError(f"--name fits one image, and there are {len(found)}: {names}")
        return [self._placed(one) for one in found]

    def _placed(self, found: FoundSpec) -> FoundSpec:
        spec = found.spec
        platforms = tuple(Platform.parse(text) for text in self.texts("platforms"))
        registry = self.text("registry") or spec.registry or self._settings.registry or self._service_registry()
        spec = replace(
            spec,
            name=self.text("name") or spec.name,
            # What goes nowhere needs no registry; `train` alone is what Docker calls docker.io/library/train.
            registry=registry or (None if self.output == "push" else "docker.io/library"),
            platforms=platforms or spec.platforms or self._settings.platforms,
        )
        return replace(found, spec=references.look_up(spec, self._settings.images))

    def _service_registry(self) -> str | None:
        return registry_of(self) if self.text("engine") == "remote" else None

    @property
    def secrets(self) -> SecretSources:
        """Where secrets come from."""
        return secret_sources(self.texts("secrets"), self._settings.secret_providers)

    @cached_property
    def wishes(self) -> driver.Wishes:
        """What is wanted beside the images; the same for all, so that a key is looked at once."""
        return replace(wishes_of(self._flags), trust=self._trusting.trust(self._settings, BUILDER_CLI))

    @property
    def output(self) -> Output:
        if self.is_set("load"):
            return "load"
        return "push" if self.is_set("push") else "none"

    @property
    def compression(self) -> Compression:
        return "gzip" if self.text("compression") == "gzip" else "zstd"

    @property
    def scope(self) -> tuple[str, str]:
        """The project and domain that a service builds for."""
        found = self._settings
        return self.text("project") or found.project or configured.PROJECT, self.text(
            "domain"
        ) or found.domain or configured.DOMAIN

    @property
    def builder(self) -> str | None:
        return self.text("builder") or self._settings.builder


def registries_of(specs: list[FoundSpec]) -> set[Registry]:
    """The registries that these images go to. Raises InvalidName."""
    return {Repository.parse(f"{one.spec.registry}/image").registry for one in specs if one.spec.registry}


def _flag(name: str) -> str:
    return f"--{name.rstrip('s') if name in ('tags', 'platforms', 'secrets') else name}".replace("_", "-")


def _parsed(name: str, parse: Callable[[str], object], text: str) -> None:
    try:
        parse(text)
    except InvalidInput as error:
        hint = f" ({error.hint})" if error.hint else ""
        shown = f"…{text[text.rindex('@') :]}" if "@" in text else text  # what is before it may be a password
        raise click.UsageError(f"{_flag(name)} {shown!r}: {error.sentence}{hint}") from error
