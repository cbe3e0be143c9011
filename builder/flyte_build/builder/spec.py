"""What is asked: an image spec, its layers, and nothing that is known only after looking at the world.

An `ImageSpec` is a value. Every `with_…` returns a new one, so a spec can be shared and extended:

    ImageSpec(name="train", python="3.12").with_apt("git").with_pip("numpy", "httpx").with_copy("src", to="/app")

Paths are kept as written; `resolve` reads them relative to the spec's own folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from flyte_build.builder.layers import (
    Apt,
    Commands,
    Copy,
    Env,
    Install,
    Pip,
    PipOptions,
    Requirements,
    SecretMount,
    User,
    Workdir,
)
from flyte_build.builder.projects import (
    CodeBundle,
    PixiProject,
    PixiScript,
    PoetryProject,
    UvProject,
    UvScript,
    Wheels,
)
from flyte_build.registry.descriptors import Platform

__all__ = [
    "DEFAULT_PLATFORMS",
    "DEFAULT_PYTHON",
    "Apt",
    "CodeBundle",
    "Commands",
    "Copy",
    "Env",
    "ImageSpec",
    "Install",
    "Layer",
    "Pip",
    "PipOptions",
    "PixiProject",
    "PixiScript",
    "PoetryProject",
    "Requirements",
    "SecretMount",
    "User",
    "UvProject",
    "UvScript",
    "Wheels",
    "Workdir",
    "sorted_variables",
]

DEFAULT_PLATFORMS = (Platform("linux", "amd64"),)
DEFAULT_PYTHON = "3.12"


Layer = (
    Apt
    | Pip
    | Requirements
    | Commands
    | Env
    | Workdir
    | Copy
    | User
    | UvProject
    | UvScript
    | Wheels
    | PoetryProject
    | PixiProject
    | PixiScript
    | CodeBundle
)


def sorted_variables(variables: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The pairs of a mapping in the order that enters a plan: the order people wrote them in means nothing."""
    return tuple(sorted(variables.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """An image as a person describes it.

    `name` and `registry` say where it goes and are no part of its identity; neither is `registry_secret`, a secret
    whose value is a Docker configuration with credentials for that registry and the base's. `base` defaults to the
    slim Debian image of `python`; `ref` stands for a base by a name that settings give it, and is looked up there
    before the spec is resolved. `layers` are applied in order. `python` is `X.Y`; None takes the base's own `python3`.
    `dockerignore` is a file of Docker's ignore patterns, anchored at its own folder, for every folder that is copied.
    `dockerfile` is a Dockerfile that is all there is: it has its own base and takes no layers.
    """

    name: str
    registry: str | None = None
    registry_secret: str | None = None
    base: str | None = None
    ref: str | None = None
    python: str | None = None
    platforms: tuple[Platform, ...] = ()
    layers: tuple[Layer, ...] = ()
    dockerignore: str | None = None
    dockerfile: str | None = None

    @property
    def base_name(self) -> str:
        """The base as written, or the default for the Python version."""
        return self.base or f"python:{self.python or DEFAULT_PYTHON}-slim-bookworm"

    def with_layer(self, layer: Layer) -> ImageSpec:
        """This spec with one more layer."""
        return replace(self, layers=(*self.layers, layer))

    def with_pip(self, *packages: str, options: PipOptions | None = None) -> ImageSpec:
        """PEP 508 requirements, installed with uv into the image's environment."""
        return self.with_layer(Pip(packages=packages, options=options or PipOptions()))

    def with_requirements(self, file: str, *, options: PipOptions | None = None) -> ImageSpec:
        """What a requirements file asks for."""
        return self.with_layer(Requirements(file=file, options=options or PipOptions()))

    def with_apt(self, *packages: str) -> ImageSpec:
        """Debian packages."""
        return self.with_layer(Apt(packages=packages))

    def with_commands(self, *commands: str, secrets: tuple[SecretMount, ...] = ()) -> ImageSpec:
        """Shell commands, each a step of its own."""
        return self.with_layer(Commands(commands=commands, secrets=secrets))

    def with_env(self, variables: Mapping[str, str]) -> ImageSpec:
        """Environment variables."""
        return self.with_layer(Env(variables=sorted_variables(variables)))

    def with_workdir(self, path: str) -> ImageSpec:
        """The working directory from here on."""
        return self.with_layer(Workdir(path=path))

    def with_copy(
        self, source: str, *, to: str = ".", contents: bool = False, ignore: tuple[str, ...] = ()
    ) -> ImageSpec:
        """A file or folder of the user's, without standard junk."""
        return self.with_layer(Copy(source=source, to=to, contents=contents, ignore=ignore))

    def with_user(self, name: str) -> ImageSpec:
        """The user that later steps and the container run as."""
        return self.with_layer(User(name=name))

    def with_uv_project(
        self, project: str, *, install: Install = "dependencies", options: PipOptions | None = None
    ) -> ImageSpec:
        """What a uv project asks for, by its lock if it has one."""
        return self.with_layer(UvProject(project=project, install=install, options=options or PipOptions()))

    def with_uv_script(self, script: str, *, options: PipOptions | None = None) -> ImageSpec:
        """What a script's inline metadata asks for."""
        return self.with_layer(UvScript(script=script, options=options or PipOptions()))

    def with_wheels(self, folder: str, package: str, *, options: PipOptions | None = None) -> ImageSpec:
        """A package from a folder of wheels."""
        return self.with_layer(Wheels(folder=folder, package=package, options=options or PipOptions()))

    def with_poetry_project(
        self, project: str, *, install: Install = "dependencies", extra_args: str = ""
    ) -> ImageSpec:
        """What a Poetry project asks for."""
        return self.with_layer(PoetryProject(project=project, install=install, extra_args=extra_args))

    def with_pixi_project(
        self, manifest: str, *, install: Install = "dependencies", environment: str = "default"
    ) -> ImageSpec:
        """An environment of a pixi project, which becomes the image's own."""
        return self.with_layer(PixiProject(manifest=manifest, install=install, environment=environment))

    def with_code_bundle(self, folder: str, *files: str, to: str = ".") -> ImageSpec:
        """The files below a folder that the patterns name."""
        return self.with_layer(CodeBundle(folder=folder, files=files, to=to))
