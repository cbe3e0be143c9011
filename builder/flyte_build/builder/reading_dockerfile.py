"""A spec that is a Dockerfile -> its text, its images by digest, and those files of its folder that it may read."""

from __future__ import annotations

import os
from pathlib import Path

from flyte_build.builder.dockerfile_lines import without_frontend
from flyte_build.builder.dockerfile_source import DockerfileSource, reached, read_dockerfile
from flyte_build.builder.dockerignore import Dockerignore
from flyte_build.builder.files import FileSet, read_text
from flyte_build.builder.plan import PlanImage
from flyte_build.builder.reading import BaseResolver
from flyte_build.builder.trees import FileTree
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.names import Digest, ImageName, ImageReference


def read(file: Path) -> DockerfileSource:
    """The Dockerfile; InvalidInput when it cannot be read."""
    return read_dockerfile(without_frontend(read_text(file, "the Dockerfile", limit=1 << 20)))


def context_tree(file: Path, source: DockerfileSource, files: FileSet) -> FileTree:
    """The files beside the Dockerfile that its steps may read, without junk and what its dockerignore leaves out."""
    from flyte_build.builder import folders

    root = Path(os.path.abspath(file.parent))  # noqa: PTH100 - as `folders` names what it finds
    own = file.with_name(f"{file.name}.dockerignore")
    ignore_file = own if own.is_file() else file.with_name(".dockerignore")
    ignore = Dockerignore.parse(read_text(ignore_file, "the file")) if ignore_file.is_file() else Dockerignore()
    wanted = list(reached(source.paths))

    def skip(path: Path) -> bool:
        name = path.relative_to(root).as_posix()
        return ignore.excludes(name) or not any(pattern.fullmatch(name) for pattern in wanted)

    if not wanted:
        return FileTree()
    return folders.read(root, files, skip=skip)


def find_images(
    source: DockerfileSource, bases: BaseResolver, platforms: tuple[Platform, ...]
) -> tuple[tuple[PlanImage, ...], dict[Digest, ImageReference]]:
    """Every image that the Dockerfile names, and where each lies; RegistryError when one cannot be looked up."""
    images, places = [], {}
    for name, target in source.images:
        reference = bases.resolve(ImageName.parse(name), platforms if target else ()).reference
        images.append(PlanImage(name=name, digest=reference.digest))
        places[reference.digest] = reference
    return tuple(images), places
