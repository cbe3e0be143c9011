"""`spec.pb` + an unpacked `context.tar.gz` -> ImageSpec: what the SDK sends to a remote builder.

The message (`flyteidl2.imagebuilder.ImageSpec`) is lossy: it has no name and no user, and the SDK never sets its
platforms. What it lacks comes from the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from flyte_build.builder import requirements
from flyte_build.builder.files import read_text
from flyte_build.builder.sources.sdk import python_of, with_flyte_user
from flyte_build.builder.sources.sdk_layers import secret_name
from flyte_build.builder.spec import (
    Apt,
    Commands,
    Copy,
    Env,
    ImageSpec,
    Layer,
    Pip,
    PipOptions,
    PoetryProject,
    Requirements,
    SecretMount,
    UvProject,
    Wheels,
    Workdir,
    sorted_variables,
)
from flyte_build.builder.uv_lock import local_paths
from flyte_build.builder.uv_lock import parse as parse_toml
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidInput, InvalidSpec, Problem

# Who writes more is up to something: the text of an error would be as long.
_MOST_PLATFORMS = 16
_LONGEST_PLATFORM = 64


def parse(spec: bytes, *, name: str, context: Path, platforms: tuple[Platform, ...] = ()) -> ImageSpec:
    """The spec of a serialized message. `context` is the folder into which the context was unpacked.

    `platforms` are used where the message names none. Raises InvalidSpec for bytes that are no such message, paths
    that leave the context, or a kind of layer that is not known here.
    """
    message = _decoded(spec)
    problems: list[Problem] = []
    layers: list[Layer] = []
    for number, layer in enumerate(message.layers):
        kind = next((field.name for field, _ in layer.ListFields()), "an empty layer")
        try:
            layers.append(_convert(kind, layer, context))
        except InvalidInput as error:
            problems.append(Problem(f"layers[{number}].{kind}", error.sentence))
    if not message.base_image:
        problems.append(Problem("base_image", "is missing"))
    if problems:
        raise InvalidSpec(f"image {name!r}", tuple(problems))
    return ImageSpec(
        name=name,
        base=message.base_image,
        python=python_of(tuple(layers), message.python_version or None),
        platforms=_platforms(message) or platforms,
        layers=with_flyte_user(tuple(layers)),
    )


def platforms(spec: bytes) -> tuple[Platform, ...]:
    """The platforms that a serialized message names, as its plan will have them: sorted, each once; none where it
    names none. Raises InvalidSpec for bytes that are no such message, InvalidInput for a text that is no platform.
    """
    return tuple(sorted(set(_platforms(_decoded(spec)))))


def secrets(spec: bytes) -> frozenset[str]:
    """The names of the secrets that the layers of a serialized message mount. Raises InvalidSpec as `platforms`."""
    layers = (getattr(layer, field.name) for layer in _decoded(spec).layers for field, _ in layer.ListFields())
    mounts = (mount for layer in layers for mount in getattr(layer, "secret_mounts", ()))
    return frozenset(secret_name(mount.group, mount.key) for mount in mounts)


def _platforms(message: Any) -> tuple[Platform, ...]:  # noqa: ANN401 - a protobuf message
    if len(message.platform) > _MOST_PLATFORMS or any(len(text) > _LONGEST_PLATFORM for text in message.platform):
        raise InvalidInput(
            f"the spec names more than {_MOST_PLATFORMS} platforms, or one with more than {_LONGEST_PLATFORM} letters"
        )
    return tuple(Platform.parse(text) for text in message.platform)


def _decoded(spec: bytes) -> Any:  # noqa: ANN401 - a protobuf message
    # protobuf and its messages are slow to load.
    from flyteidl2.imagebuilder.definition_pb2 import ImageSpec as Message
    from google.protobuf.message import DecodeError

    message = Message()
    try:
        message.ParseFromString(spec)
    except DecodeError as error:
        raise InvalidSpec("spec.pb", (Problem("", "is not a serialized flyteidl2 ImageSpec"),)) from error
    return message


def _convert(kind: str, layer: Any, context: Path) -> Layer:  # noqa: ANN401 - a protobuf message
    convert = _LAYERS.get(kind)
    if convert is None:
        raise InvalidInput("is a kind of layer that is not supported yet")
    try:
        return convert(getattr(layer, kind), context)
    except OSError as error:
        raise InvalidInput(f"names a path that cannot be looked at: {error.strerror}") from error


def _inside(path: str, context: Path) -> str:
    """A path of the message, which a client wrote, proved to stay in the context, also through links."""
    parts = PurePosixPath(path).parts
    if not parts or PurePosixPath(path).is_absolute() or ".." in parts or "\0" in path:
        raise InvalidInput(f"{path!r} is not a path in the context")
    requirements.contained(context / path, context)
    return path


def _requirements(message: Any, context: Path) -> Requirements:  # noqa: ANN401
    file = _inside(message.file, context)
    requirements.included(context / file, within=context)
    return Requirements(file=file, options=_options(message.options), secrets=_secrets(message.secret_mounts))


def _options(options: Any) -> PipOptions:  # noqa: ANN401
    return PipOptions(
        index_url=options.index_url or None,
        extra_index_urls=tuple(options.extra_index_urls),
        pre=options.pre,
        extra_args=options.extra_args,
    )


def _secrets(mounts: Iterable[Any]) -> tuple[SecretMount, ...]:
    return tuple(SecretMount(name=secret_name(mount.group, mount.key), env=mount.env_var or None) for mount in mounts)


def _copy(message: Any, context: Path) -> Copy:  # noqa: ANN401
    source = _inside(message.src, context)
    return Copy(source=source, to=message.dst or ".", contents=(context / source).is_dir())


def _uv_project(message: Any, context: Path) -> UvProject:  # noqa: ANN401
    """The message has no mode: without it, the SDK adds the flag that says the same."""
    project = _inside(message.pyproject, context)
    options = _options(message.options)
    arguments = options.extra_args.split()
    own = "--no-install-project" not in arguments
    kept = " ".join(argument for argument in arguments if argument != "--no-install-project")
    lock = _inside(message.uvlock, context) if message.uvlock else None
    for path in (project, f"{project}/pyproject.toml", *([lock] if lock else [])):
        requirements.contained(context / path, context)
    if lock is not None:
        # A lock may name folders anywhere; those of a stranger's end here.
        for path in local_paths(parse_toml(read_text(context / lock, "the lock"), "uv.lock")):
            requirements.contained(context / project / path, context)
    return UvProject(
        project=project,
        lock=lock,
        install="project" if own else "dependencies",
        options=replace(options, extra_args=kept),
        secrets=_secrets(message.secret_mounts),
    )


def _poetry_project(message: Any, context: Path) -> PoetryProject:  # noqa: ANN401
    project = _inside(message.pyproject, context)
    if (context / project).is_file():
        project = str(PurePosixPath(project).parent)
    requirements.contained(context / project / "pyproject.toml", context)
    arguments = message.extra_args.split()
    return PoetryProject(
        project=project,
        lock=_inside(message.poetry_lock, context),
        install="dependencies" if "--no-root" in arguments else "project",
        extra_args=" ".join(argument for argument in arguments if argument != "--no-root"),
        secrets=_secrets(message.secret_mounts),
    )


def _wheels(message: Any, context: Path) -> Wheels:  # noqa: ANN401
    folder = _inside(message.dir, context)
    for path in (context / folder).glob("*.whl"):
        requirements.contained(path, context)
    return Wheels(
        folder=folder,
        package=message.package_name,
        options=_options(message.options),
        secrets=_secrets(message.secret_mounts),
    )


_LAYERS: dict[str, Callable[[Any, Path], Layer]] = {
    "apt_packages": lambda m, _: Apt(packages=tuple(m.packages), secrets=_secrets(m.secret_mounts)),
    "pip_packages": lambda m, _: Pip(
        packages=tuple(m.packages), options=_options(m.options), secrets=_secrets(m.secret_mounts)
    ),
    "requirements": _requirements,
    "commands": lambda m, _: Commands(commands=tuple(m.cmd), secrets=_secrets(m.secret_mounts)),
    "env": lambda m, _: Env(variables=sorted_variables(dict(m.env_variables))),
    "workdir": lambda m, _: Workdir(path=m.workdir),
    "copy_config": _copy,
    "uv_project": _uv_project,
    "poetry_project": _poetry_project,
    "python_wheels": _wheels,
}
