"""uv projects and scripts with inline metadata -> layers of the plan.

A locked project becomes three steps, so that each changes only with what it is made of: everything from indexes, by
exact version and hash; projects of the person's own that it depends on; and, where asked for, the project itself.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from flyte_build.builder import uv_lock
from flyte_build.builder.files import read_text, tree_of
from flyte_build.builder.plan import LocalProject, PinnedInstall, PipInstall, PlanLayer, ProjectInstall, UvSync
from flyte_build.builder.reading import Reading
from flyte_build.builder.script import inline_metadata
from flyte_build.builder.spec import PipOptions, UvProject, UvScript
from flyte_build.builder.toml_text import toml_text
from flyte_build.builder.trees import FileTree
from flyte_build.builder.uv_export import Exported, export, export_arguments
from flyte_build.registry.errors import InvalidInput

# What building a project leaves beside its source.
LEFTOVERS = ("*.egg-info", ".eggs")
_RESOLVED_KEYS = ("dependencies", "optional-dependencies", "requires-python", "name")


def project(layer: UvProject, reading: Reading) -> tuple[PlanLayer, ...]:
    """The steps of a uv project; InvalidInput for a lock that was made for another `pyproject.toml`."""
    manifest = reading.project(layer.project)
    folder = manifest.parent
    document = uv_lock.parse(read_text(manifest, "the file"), "pyproject.toml")
    lock = lock_of(layer, folder, reading.root)
    if lock is None:
        return (_unlocked(layer, folder, document, reading),)
    text = read_text(lock, "the lock")
    locked = uv_lock.parse(text, lock.name)
    wrong = tuple(uv_lock.disagreements(document, locked))
    if wrong:
        raise InvalidInput(f"{'; '.join(wrong)}", hint=f"run `uv lock` in {layer.project}")
    arguments = export_arguments(_split(layer.options.extra_args))
    files, place = staged(folder, lock, text)
    found = export(files, place, arguments)
    options = _options(layer.options, uv_lock.indexes(locked))
    steps: list[PlanLayer] = [_pins(found, reading, layer, options)] if found.pins else []
    if found.local:
        steps.append(_local(found, folder, reading, replace(layer, options=options)))
    if layer.install == "project" and "--no-emit-project" not in arguments:
        tree = reading.folder(folder, prefix="project", ignore=LEFTOVERS)
        own = (LocalProject(path="project"),)
        steps.append(ProjectInstall(tree=tree, projects=own, options=options, secrets=layer.secrets))
    return tuple(steps)


def lock_of(layer: UvProject, folder: Path, root: Path) -> Path | None:
    """The lock as named, beside the project, or of the workspace that it is in."""
    if layer.lock is not None:
        return root / layer.lock
    inside = Path(os.path.abspath(folder))  # noqa: PTH100 - of the name that was written
    outermost = Path(os.path.abspath(root))  # noqa: PTH100
    for place in (inside, *(parent for parent in inside.parents if parent.is_relative_to(outermost))):
        if (place / "uv.lock").is_file() and (place == inside or _is_workspace(place / "pyproject.toml")):
            return place / "uv.lock"
    return None


def _is_workspace(pyproject: Path) -> bool:
    if not pyproject.is_file():
        return False
    document = uv_lock.parse(read_text(pyproject, "the file"), "pyproject.toml")
    return bool(uv_lock.table(document, "tool", "uv", "workspace"))


def staged(folder: Path, lock: Path, text: str) -> tuple[dict[str, str], str]:
    """The few files that uv reads, and the project's place among them."""
    top = Path(os.path.abspath(lock.parent))  # noqa: PTH100
    own = Path(os.path.abspath(folder))  # noqa: PTH100
    place = own.relative_to(top).as_posix() if own.is_relative_to(top) else "."
    files = {"uv.lock": text, f"{place}/pyproject.toml": read_text(folder / "pyproject.toml", "the file")}
    if place != "." and _is_workspace(top / "pyproject.toml"):
        files["pyproject.toml"] = read_text(top / "pyproject.toml", "the file")
    elif place != ".":
        files[f"{place}/uv.lock"] = files.pop("uv.lock")
    return files, place


def _pins(found: Exported, reading: Reading, layer: UvProject, options: PipOptions) -> PinnedInstall:
    file = reading.files.made("".join(f"{pin}\n" for pin in found.pins), "pins.txt")
    return PinnedInstall(tree=FileTree(files=(file,)), options=options, secrets=layer.secrets)


def _local(found: Exported, folder: Path, reading: Reading, layer: UvProject) -> ProjectInstall:
    trees, projects = [], []
    for number, (written, marker) in enumerate(found.local):
        source = folder / _path(written)
        name = f"{number}-{PurePosixPath(os.path.normpath(_path(written))).name}"
        if source.is_dir():
            trees.append(reading.folder(source, prefix=name, ignore=LEFTOVERS))
        elif source.is_file():
            name = f"{number}/{source.name}"
            trees.append(FileTree(files=(reading.files.add(source, name),)))
        else:
            raise InvalidInput(f"the project depends on {written!r}, which does not exist")
        projects.append(LocalProject(path=name, marker=marker))
    tree = tree_of((file for one in trees for file in one.files), (one for tree in trees for one in tree.folders))
    return ProjectInstall(tree=tree, projects=tuple(projects), options=layer.options, secrets=layer.secrets)


def _path(written: str) -> str:
    return unquote(urlsplit(written).path) if written.startswith("file:") else written


def _options(options: PipOptions, indexes: tuple[str, ...]) -> PipOptions:
    """Options of the steps; every index of the lock is one, and hashes say that it does not matter which answers."""
    extra = (*options.extra_index_urls, *(url for url in indexes if url != options.index_url))
    return replace(options, extra_index_urls=tuple(dict.fromkeys(extra)), extra_args="")


def _split(text: str) -> list[str]:
    return shlex.split(text)


def _unlocked(layer: UvProject, folder: Path, document: dict[str, Any], reading: Reading) -> UvSync:
    """Resolved while the image is built, from those parts of `pyproject.toml` that say what is needed."""
    for name, source in uv_lock.table(document, "tool", "uv", "sources").items():
        if any({"path", "workspace"} & set(uv_lock.table(one)) for one in [source, *uv_lock.items(source)]):
            raise InvalidInput(f"{name!r} comes from a folder, and there is no uv.lock", hint="run `uv lock`")
    if layer.install == "project":
        tree = reading.folder(folder, ignore=LEFTOVERS)
    else:
        head = {key: value for key, value in uv_lock.table(document, "project").items() if key in _RESOLVED_KEYS}
        kept = {"project": {**head, "version": "0"}, "dependency-groups": uv_lock.table(document, "dependency-groups")}
        kept["tool"] = {"uv": uv_lock.table(document, "tool", "uv")}
        tree = FileTree(files=(reading.files.made(toml_text(kept), "pyproject.toml"),))
    arguments = tuple(_split(layer.options.extra_args))
    own = layer.install == "project" and "--no-install-project" not in arguments
    return UvSync(
        tree=tree,
        arguments=tuple(one for one in arguments if one != "--no-install-project"),
        project=own,
        options=replace(layer.options, extra_args=""),
        secrets=layer.secrets,
    )


_FILE = re.compile(r"(?:[A-Za-z0-9._-]+(?:\[[^\]]*\])?\s*@\s*)?file://(?P<path>[^\s;]+)\s*(?:;.*)?")


def script(layer: UvScript, reading: Reading) -> tuple[PlanLayer, ...]:
    """The steps of a script's inline metadata (PEP 723); `file://` names uv projects, as in the SDK."""
    path = reading.root / layer.script
    metadata = inline_metadata(read_text(path, "the script"), path.name)
    _require_python(metadata.get("requires-python"), reading.python)
    tool = uv_lock.table(metadata, "tool", "uv")
    if "sources" in tool or "index" in tool:
        raise InvalidInput("[tool.uv] has sources or an index", hint="use PEP 508 URLs and the layer's index_url")
    options = layer.options
    if newer := tool.get("exclude-newer"):
        options = replace(options, extra_args=f"--exclude-newer {shlex.quote(str(newer))} {options.extra_args}".strip())
    asked = [str(one) for one in uv_lock.items(metadata.get("dependencies"))]
    packages = tuple(one for one in asked if not _FILE.fullmatch(one))
    steps: list[PlanLayer] = []
    if packages:
        steps.append(PipInstall(packages=packages, options=options, secrets=layer.secrets))
    for match in filter(None, map(_FILE.fullmatch, asked)):
        own = UvProject(project=unquote(match["path"]), install="project", secrets=layer.secrets)
        steps += project(replace(own, options=replace(layer.options, extra_args="")), reading)
    return tuple(steps)


def _require_python(wanted: object, python: str | None) -> None:
    if wanted is None or python is None:
        return
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        # `>=3.11.4` may hold for 3.11; whether it does, the build finds out.
        fits = any(f"{python}.{patch}" in SpecifierSet(str(wanted)) for patch in (0, 99))
    except InvalidSpecifier as error:
        raise InvalidInput(f"requires-python {wanted!r} is not a version specifier") from error
    if not fits:
        raise InvalidInput(f"the script wants Python {wanted}, and the image has {python}", hint="change `python`")
