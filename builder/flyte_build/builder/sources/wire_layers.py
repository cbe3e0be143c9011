"""Layers of a spec -> layers of `flyteidl2.imagebuilder.ImageSpec`, and their files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyte_build.builder.context import lay_tree
from flyte_build.builder.installs import CopyFiles, PipInstall, WheelInstall
from flyte_build.builder.layers import PipOptions, SecretMount
from flyte_build.builder.limits import require_size
from flyte_build.builder.reading import Reading, read_layer
from flyte_build.builder.spec import Apt, Commands, Env, Layer, PoetryProject, UvProject, Workdir
from flyte_build.builder.trees import FileTree, tree_folder
from flyte_build.registry.errors import InvalidInput, Problem

if TYPE_CHECKING:
    from flyteidl2.core.security_pb2 import Secret


class Unsaid(InvalidInput):
    """Something that the message has no words for."""


@dataclass(frozen=True, slots=True)
class Packing:
    """Where files come from and where they go."""

    reading: Reading
    context: Path

    def laid(self, tree: FileTree) -> str:
        """The place of a tree in the context, written if it is new; content and not origin gives it its name."""
        if wrong := next(require_size((tree,)), None) or self.reading.files.full:
            raise InvalidInput(wrong.message if isinstance(wrong, Problem) else "the image's files are too large")
        place = tree_folder(tree)
        if not (self.context / place).exists():
            lay_tree(tree, self.reading.files.sources, self.context / place)
        return place


def convert(layer: Layer, packing: Packing) -> Iterator[Any]:
    """The messages of a layer. Raises Unsaid, and InvalidInput as `read_layer`."""
    if isinstance(layer, (UvProject, PoetryProject)):
        from flyte_build.builder.sources.wire_projects import project

        yield project(layer, packing)
        return
    for one in read_layer(layer, packing.reading):
        say = next((say for kind, say in _WORDS.items() if isinstance(one, kind)), None)
        if say is None:
            what = (
                f"a {layer.kind} layer" if layer.kind == one.kind else f"a {layer.kind} layer with projects or a lock"
            )
            raise Unsaid(f"{what} cannot be said to a remote builder of Flyte's", hint="build the image here")
        yield say(one, packing)


def secret_mounts(secrets: tuple[SecretMount, ...]) -> list[Secret]:
    """As the SDK sends them: `group.key` has a group, a variable is one beside the file."""
    from flyteidl2.core.security_pb2 import Secret

    found = []
    for secret in secrets:
        group, _, key = secret.name.rpartition(".")
        kind = Secret.MountType.FILE if secret.env is None else Secret.MountType.ENV_VAR
        found.append(Secret(group=group, key=key, mount_requirement=kind, env_var=secret.env or ""))
    return found


def pip_options(options: PipOptions) -> Any:  # noqa: ANN401 - a protobuf message
    """The same options."""
    from flyteidl2.imagebuilder.definition_pb2 import PipOptions as Message

    return Message(
        index_url=options.index_url or "",
        extra_index_urls=options.extra_index_urls,
        pre=options.pre,
        extra_args=options.extra_args,
    )


def message(kind: str, **fields: Any) -> Any:  # noqa: ANN401
    """A layer of the wire; `kind` is the name of its field."""
    from flyteidl2.imagebuilder.definition_pb2 import Layer as Message

    return Message(**{kind: fields})


def _copy(one: CopyFiles, packing: Packing) -> Any:  # noqa: ANN401
    place = packing.laid(one.tree)
    return message("copy_config", src=f"{place}/{one.tree.files[0].path}" if one.single else place, dst=one.to)


def _pip(one: PipInstall, packing: Packing) -> Any:  # noqa: ANN401
    more = {"options": pip_options(one.options), "secret_mounts": secret_mounts(one.secrets)}
    if one.requirements:
        return message("requirements", file=f"{packing.laid(one.tree)}/{one.requirements[0]}", **more)
    return message("pip_packages", packages=one.packages, **more)


def _wheels(one: WheelInstall, packing: Packing) -> Any:  # noqa: ANN401
    more = {"options": pip_options(one.options), "secret_mounts": secret_mounts(one.secrets)}
    return message("python_wheels", dir=packing.laid(one.tree), package_name=one.package, **more)


_WORDS: dict[type, Callable[[Any, Packing], Any]] = {
    CopyFiles: _copy,
    PipInstall: _pip,
    WheelInstall: _wheels,
    Apt: lambda one, _: message("apt_packages", packages=one.packages, secret_mounts=secret_mounts(one.secrets)),
    Commands: lambda one, _: message("commands", cmd=one.commands, secret_mounts=secret_mounts(one.secrets)),
    Env: lambda one, _: message("env", env_variables=dict(one.variables)),
    Workdir: lambda one, _: message("workdir", workdir=one.path),
}
