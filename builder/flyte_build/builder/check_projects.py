"""What can be wrong with a layer that is a project, apart from its files. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from flyte_build.builder.projects import (
    CodeBundle,
    PixiProject,
    PixiScript,
    PoetryProject,
    UvProject,
    UvScript,
    Wheels,
)
from flyte_build.registry.errors import Problem

Project = UvProject | UvScript | Wheels | PoetryProject | PixiProject | PixiScript | CodeBundle
_INSTALLS = ("dependencies", "project")
_OWNER = re.compile(r"[a-z_0-9][a-z0-9_-]*(:[a-z_0-9][a-z0-9_-]*)?")
# pixi's own rule for environments, which become folders.
_ENVIRONMENT = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(\[[A-Za-z0-9._,-]+\])?")


def check_project(layer: Project) -> Iterator[Problem]:
    """All that is wrong with `layer`, with paths inside it."""
    for field in ("project", "script", "folder", "manifest", "lock"):
        value = getattr(layer, field, None)
        if value is not None:
            yield from named(value, "" if field != "lock" else "lock")
    install = getattr(layer, "install", "project")
    if install not in _INSTALLS:
        yield Problem("install", f"is {install!r}; use one of: {', '.join(_INSTALLS)}")
    if isinstance(layer, (PoetryProject, PixiProject, PixiScript)):
        yield from _arguments(layer.extra_args)
    if isinstance(layer, (PixiProject, PixiScript)) and not _ENVIRONMENT.fullmatch(layer.environment):
        yield Problem("environment", f"{layer.environment!r} is not the name of a pixi environment (a-z, 0-9 and -)")
    if isinstance(layer, Wheels) and not _DISTRIBUTION.fullmatch(layer.package):
        yield Problem("package", f"{layer.package!r} is not the name of a package; write it like my-package")
    if isinstance(layer, CodeBundle):
        yield from _bundle(layer)


def named(path: str, where: str) -> Iterator[Problem]:
    """A problem when `path` can be no path of a file."""
    if not path or any(ord(character) < 32 for character in path):
        yield Problem(where, f"{path!r} is not a path; name a file or a folder")


def _bundle(layer: CodeBundle) -> Iterator[Problem]:
    if not layer.files:
        yield Problem("files", "names no file; write a pattern like **/*.py")
    for number, pattern in enumerate(layer.files):
        parts = pattern.split("/")
        if not pattern or "\0" in pattern or pattern.startswith("/") or ".." in parts:
            yield Problem(f"files[{number}]", f"{pattern!r} is not a pattern below the folder; no / before it, no ..")
        elif any("**" in part and part != "**" for part in parts):
            yield Problem(f"files[{number}]", f"{pattern!r} has ** beside other characters; write **/")
    if not layer.to or "$" in layer.to or any(ord(character) < 32 for character in layer.to):
        yield Problem("to", f"{layer.to!r} is not a path; write it out on one line")
    if layer.owner is not None and not _OWNER.fullmatch(layer.owner):
        yield Problem("owner", f"{layer.owner!r} is not a user name or user:group; write it like flyte or flyte:users")


def _arguments(text: str) -> Iterator[Problem]:
    try:
        arguments = shlex.split(text)
    except ValueError as error:
        yield Problem("extra_args", f"{text!r} cannot be split: {error}")
        return
    if any("\0" in argument for argument in arguments):
        yield Problem("extra_args", "has a NUL character; take it out")
