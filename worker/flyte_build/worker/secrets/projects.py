"""Secrets of the build service's projects: files `<project>/<group>/<key>`, or `<project>/<key>` without a group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from flyte_build.builder.sources.sdk_layers import secret_name
from flyte_build.registry.errors import InvalidInput
from flyte_build.worker.secrets.gather import MissingSecret


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSecrets:
    """`root` is the folder of all projects' secrets, like mounted Kubernetes Secrets; None where there are none.

    A request's names are compared with what is there, and never become a path.
    """

    root: Path | None = None

    def files(self, project: str, names: frozenset[str]) -> Mapping[str, Path]:
        """Name (`key` or `group.key`) -> file, for all of `names`. MissingSecret with those that the project lacks.

        InvalidInput where two files have one name (`a.b/c` and `a/b.c`).
        """
        found: dict[str, Path] = {}
        if names and self.root is not None:
            for name, file in self._of(project):
                if name in names and found.setdefault(name, file) != file:
                    raise InvalidInput(f"the project {project} has two secrets that are called {name!r}")
        missing = sorted(names - found.keys())
        if missing:
            raise MissingSecret(
                f"the project {project} has no secret {', '.join(map(repr, missing))[:300]}, which the image needs",
                hint="whoever runs the service adds it to --secrets as <project>/<group>/<key>",
            )
        return found

    def _of(self, project: str) -> Iterator[tuple[str, Path]]:
        for folder in _below(self.root or Path(), only=project):
            for one in _below(folder):
                if one.is_file():
                    yield secret_name(None, one.name), one
                for key in _below(one) if one.is_dir() else ():
                    if key.is_file():
                        yield secret_name(one.name, key.name), key


def _below(folder: Path, only: str = "") -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InvalidInput(f"the secrets of the service cannot be read: {error.strerror}") from error
    # A mounted Secret has its versions beside its keys, in `..data` and the like.
    return (entry for entry in entries if not entry.name.startswith(".") and (not only or entry.name == only))
