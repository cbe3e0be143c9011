"""Names of secrets -> files that live as long as the build, in memory if possible, readable by this user alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from flyte_build.builder.buildx.held import held_folder
from flyte_build.builder.buildx.memory import memory_file
from flyte_build.builder.plan import BuildPlan
from flyte_build.builder.uv import cache_folder
from flyte_build.registry.errors import FlyteBuildError, InvalidInput
from flyte_build.worker.secrets.provider import SecretProvider, providers


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSources:
    """`files` and `variables` of this process by secret name, as somebody said; `chosen` are names of providers."""

    files: Mapping[str, Path] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    chosen: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def value(self, name: str) -> bytes:
        """The value of one secret. Raises InvalidInput when nothing has it."""
        if name in self.files:
            return _read(name, self.files[name])
        if name in self.variables:
            return _variable(name, self.variables[name], self.environ)
        for provider in providers(self.chosen, self.environ):
            value = _asked(provider, name)
            if value is not None:
                return value
        raise missing((name,))


def wanted(plan: BuildPlan) -> frozenset[str]:
    """The names of the secrets that the steps of a plan mount."""
    return frozenset(secret.name for layer in plan.layers for secret in getattr(layer, "secrets", ()))


@contextmanager
def secret_files(names: frozenset[str], sources: SecretSources) -> Iterator[Mapping[str, Path]]:
    """Secret name -> file, for `names` and all that was said; removed at the end, however it comes, and
    after a kill by the next build.

    Raises InvalidInput with every name that nothing has, before anything is built.
    """
    with held_folder(cache_folder() / "secrets") as folder, ExitStack() as held:
        yield {
            name: one if isinstance(one, Path) else held.enter_context(memory_file(one, folder / name))
            for name, one in _gathered(names, sources)
        }


def _gathered(names: frozenset[str], sources: SecretSources) -> tuple[tuple[str, bytes | Path], ...]:
    found: list[tuple[str, bytes | Path]] = []
    absent = []
    for name in sorted({*names, *sources.files, *sources.variables}):
        if name in sources.files:
            _read(name, sources.files[name], limit=1)
            found.append((name, sources.files[name].absolute()))
            continue
        try:
            found.append((name, sources.value(name)))
        except MissingSecret:
            absent.append(name)
    if absent:
        error = missing(tuple(absent))
        if unused := sorted({*sources.files, *sources.variables} - names):
            error.hint += f" (no step asks for {', '.join(map(repr, unused))}, which was given)"
        raise error
    return tuple(found)


class MissingSecret(InvalidInput):
    """A secret that nothing has."""


def missing(names: tuple[str, ...]) -> MissingSecret:
    """The error for secrets that nothing has."""
    first, listed = names[0], ", ".join(map(repr, names))
    what = f"the secret {listed} is" if len(names) == 1 else f"the secrets {listed} are"
    return MissingSecret(
        f"{what} needed and not given",
        hint=f"add --secret id={first},env=NAME or --secret id={first},src=FILE, or set secret_providers",
    )


def _read(name: str, file: Path, limit: int = -1) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(limit)
    except FileNotFoundError:
        raise InvalidInput(f"the file of the secret {name!r} does not exist: {file}") from None
    except OSError as error:
        raise InvalidInput(f"the file of the secret {name!r}, {file}, cannot be read: {error.strerror}") from error


def _variable(name: str, variable: str, environ: Mapping[str, str]) -> bytes:
    value = environ.get(variable)
    if value is None:
        raise InvalidInput(f"the variable {variable} of the secret {name!r} is not set")
    return value.encode(errors="surrogateescape")


def _asked(provider: SecretProvider, name: str) -> bytes | None:
    try:
        value = provider.get(name)
    except FlyteBuildError:
        raise
    except Exception as error:
        raise InvalidInput(f"the secret provider {type(provider).__name__} failed for {name!r}") from error
    if value is not None and not isinstance(value, bytes):
        raise InvalidInput(f"the secret provider {type(provider).__name__} gave no bytes for {name!r}")
    return value
