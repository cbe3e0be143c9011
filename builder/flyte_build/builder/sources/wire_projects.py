"""uv and Poetry projects -> layers of `flyteidl2.imagebuilder.ImageSpec`: no more files than the install takes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from flyte_build.builder.files import read_text, tree_of
from flyte_build.builder.installs import ProjectInstall
from flyte_build.builder.reading import read_layer
from flyte_build.builder.reading_uv import LEFTOVERS, lock_of, staged
from flyte_build.builder.sources.wire_layers import Packing, Unsaid, message, pip_options, secret_mounts
from flyte_build.builder.spec import Install, PoetryProject, UvProject
from flyte_build.builder.uv_lock import local_paths, parse

_FLAG = {"uv_project": "--no-install-project", "poetry_project": "--no-root"}


def project(layer: UvProject | PoetryProject, packing: Packing) -> Any:  # noqa: ANN401 - a protobuf message
    """The message of a project; InvalidInput as `read_layer`."""
    # Whatever is wrong with it is said here; and whether it takes sources, or its two files alone.
    sources = any(isinstance(one, ProjectInstall) for one in read_layer(layer, packing.reading))
    sources |= layer.install == "project"
    if isinstance(layer, UvProject):
        return _uv(layer, packing, sources)
    return _poetry(layer, packing, sources)


def _uv(layer: UvProject, packing: Packing, sources: bool) -> Any:  # noqa: ANN401
    folder = packing.reading.project(layer.project).parent
    lock = lock_of(layer, folder, packing.reading.root)
    options = pip_options(layer.options)
    options.extra_args = _arguments(layer.options.extra_args, layer.kind, layer.install)
    if lock is None:
        texts, own = {"pyproject.toml": read_text(folder / "pyproject.toml", "the file")}, "."
    else:
        texts, own = staged(folder, lock, read_text(lock, "the lock"))
    if sources:
        top = folder if lock is None else lock.parent
        for path in local_paths(parse(read_text(lock, "the lock"), "uv.lock")) if lock is not None else ():
            _below(folder / path, top)
        place, own = _folder(top, packing), _below(folder, top)
        found = f"{place}/uv.lock" if lock is not None else ""
    else:
        place = _texts(texts, packing)
        found = next((f"{place}/{_plain(name)}" for name in texts if name.endswith("uv.lock")), "")
    return message(
        "uv_project",
        pyproject=_plain(f"{place}/{own}"),
        uvlock=found,
        source_dir=place,
        options=options,
        secret_mounts=secret_mounts(layer.secrets),
    )


def _poetry(layer: PoetryProject, packing: Packing, sources: bool) -> Any:  # noqa: ANN401
    folder = packing.reading.project(layer.project).parent
    lock = packing.reading.root / layer.lock if layer.lock is not None else folder / "poetry.lock"
    texts = {"poetry.lock": read_text(lock, "the lock")}
    if sources:
        place, beside = _folder(folder, packing), _texts(texts, packing)
    else:
        texts["pyproject.toml"] = read_text(folder / "pyproject.toml", "the file")
        place = beside = _texts(texts, packing)
    return message(
        "poetry_project",
        pyproject=place,
        poetry_lock=f"{beside}/poetry.lock",
        extra_args=_arguments(layer.extra_args, layer.kind, layer.install),
        secret_mounts=secret_mounts(layer.secrets),
    )


def _arguments(text: str, kind: str, install: Install) -> str:
    """The message has no mode: a flag says the same."""
    flag = _FLAG[kind]
    return f"{text} {flag}".strip() if install == "dependencies" and flag not in text.split() else text


def _texts(texts: Mapping[str, str], packing: Packing) -> str:
    return packing.laid(tree_of(packing.reading.files.made(text, _plain(name)) for name, text in texts.items()))


def _folder(folder: Path, packing: Packing) -> str:
    return packing.laid(packing.reading.folder(folder, ignore=LEFTOVERS))


def _below(folder: Path, top: Path) -> str:
    inside, outside = (Path(os.path.abspath(path)) for path in (folder, top))  # noqa: PTH100 - as it was written
    if not inside.is_relative_to(outside):
        raise Unsaid(f"{inside.name!r} lies outside of {outside.name!r}, the folder of the lock", hint="move it there")
    return inside.relative_to(outside).as_posix()


def _plain(path: str) -> str:
    return str(PurePosixPath(os.path.normpath(path)))
