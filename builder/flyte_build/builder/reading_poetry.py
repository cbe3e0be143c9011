"""Poetry projects -> layers of the plan."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from flyte_build.builder.files import read_text, tree_of
from flyte_build.builder.plan import LocalProject, PlanFile, PlanLayer, PoetryInstall, ProjectInstall
from flyte_build.builder.reading import Reading
from flyte_build.builder.reading_uv import LEFTOVERS
from flyte_build.builder.spec import PoetryProject
from flyte_build.builder.toml_text import toml_text
from flyte_build.builder.uv_lock import items, parse, table
from flyte_build.registry.errors import InvalidInput

# What Poetry's own content hash of a lock covers: a change of anything else leaves a lock valid.
_PROJECT_KEYS = ("requires-python", "dependencies", "optional-dependencies", "dynamic")
_POETRY_KEYS = ("dependencies", "dev-dependencies", "extras", "group", "source", "requires-poetry")


def project(layer: PoetryProject, reading: Reading) -> tuple[PlanLayer, ...]:
    """The steps of a Poetry project; InvalidInput for a lock that lacks what `pyproject.toml` asks for."""
    manifest = reading.project(layer.project)
    folder = manifest.parent
    document = parse(read_text(manifest, "the file"), "pyproject.toml")
    path = reading.root / layer.lock if layer.lock is not None else folder / "poetry.lock"
    if not path.exists():
        raise InvalidInput(f"the project {layer.project!r} has no poetry.lock", hint="run `poetry lock`")
    lock = read_text(path, "the lock")
    missing = sorted(_asked(document) - _known(parse(lock, path.name)))
    if missing:
        raise InvalidInput(
            f"pyproject.toml asks for {', '.join(missing)}, which poetry.lock does not know", hint="run `poetry lock`"
        )
    arguments = shlex.split(layer.extra_args)
    files = (_relevant(document, reading), reading.files.made(lock, "poetry.lock"))
    steps: list[PlanLayer] = [
        PoetryInstall(
            tree=tree_of(files),
            arguments=tuple(argument for argument in arguments if argument != "--no-root"),
            secrets=layer.secrets,
        )
    ]
    if layer.install == "project" and "--no-root" not in arguments:
        # Poetry itself would install a link to the source, which is not in the image.
        tree = reading.folder(folder, prefix="project", ignore=LEFTOVERS)
        steps.append(ProjectInstall(tree=tree, projects=(LocalProject(path="project"),), secrets=layer.secrets))
    return tuple(steps)


def _relevant(document: dict[str, Any], reading: Reading) -> PlanFile:
    """`pyproject.toml` without what changes nothing that is installed: version, authors, tools of other kinds."""
    head = {key: value for key, value in table(document, "project").items() if key in _PROJECT_KEYS}
    poetry = {key: value for key, value in table(document, "tool", "poetry").items() if key in _POETRY_KEYS}
    kept: dict[str, object] = {"tool": {"poetry": {**poetry, "package-mode": False}}}
    if head:
        kept["project"] = {**head, "name": "project", "version": "0"}
    if "dependency-groups" in document:
        kept["dependency-groups"] = document["dependency-groups"]
    return reading.files.made(toml_text(kept), "pyproject.toml")


def _asked(document: dict[str, Any]) -> set[str]:
    return {str(canonicalize_name(name)) for name in _names(document)} - {"python"}


def _names(document: dict[str, Any]) -> Iterator[str]:
    head, poetry = table(document, "project"), table(document, "tool", "poetry")
    extras = [text for texts in table(head, "optional-dependencies").values() for text in items(texts)]
    groups = [text for texts in table(document, "dependency-groups").values() for text in items(texts)]
    for text in [*items(head.get("dependencies")), *extras, *groups]:
        if isinstance(text, str):
            try:
                yield Requirement(text).name
            except InvalidRequirement as error:
                raise InvalidInput(f"pyproject.toml asks for {text!r}, which is no PEP 508 requirement") from error
    yield from table(poetry, "dependencies")
    yield from table(poetry, "dev-dependencies")
    for group in table(poetry, "group").values():
        yield from table(group, "dependencies")


def _known(lock: dict[str, Any]) -> set[str]:
    return {str(canonicalize_name(str(table(package).get("name")))) for package in items(lock.get("package"))}
