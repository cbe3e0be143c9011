"""A `[[layers]]` table of an `image.toml` -> a layer. `KINDS` is all that there is; the JSON Schema is made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from flyte_build.builder.sources.fields import Fields, nearest
from flyte_build.builder.spec import (
    Apt,
    CodeBundle,
    Commands,
    Copy,
    Env,
    Install,
    Layer,
    Pip,
    PipOptions,
    PixiProject,
    PixiScript,
    PoetryProject,
    Requirements,
    SecretMount,
    User,
    UvProject,
    UvScript,
    Wheels,
    Workdir,
    sorted_variables,
)

Type = Literal["text", "texts", "flag", "text_table", "secrets", "install"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of layer: the type of the key that names it, its other keys, those that must be there, its reader."""

    value: Type
    keys: dict[str, Type]
    required: tuple[str, ...] = ()
    read: Callable[[Fields], Layer]


def read_layer(fields: Fields) -> Layer | None:
    """The layer of a table; None when it does not say what it is. Problems are collected in `fields`."""
    keys = fields.keys()
    kinds = [key for key in keys if key in KINDS]
    if len(kinds) != 1:
        misspelt = [] if kinds else [key for key in keys if key not in _OPTIONS and nearest(key, KINDS)]
        if len(misspelt) == 1:
            _refuse_misspelt(fields, misspelt[0])
        else:
            _refuse(fields, kinds)
        return None
    kind = KINDS[kinds[0]]
    fields.only((kinds[0], *kind.keys))
    return kind.read(fields)


def _refuse(fields: Fields, kinds: list[str]) -> None:
    keys = fields.keys()
    said = f"does not say what it is by {', '.join(keys)}" if keys else "does not say what it is"
    if kinds:
        fields.only((*KINDS, *_OPTIONS))
        said = f"is {' and '.join(kinds)} at once"
    fields.problem("", f"{said}; give it exactly one of {', '.join(KINDS)}")


def _refuse_misspelt(fields: Fields, key: str) -> None:
    """The kind that it was meant to be is known, so that its other keys can be looked at, too."""
    near = nearest(key, KINDS)
    fields.problem(key, f"is not known; did you mean {near!r}?")
    fields.only((key, *KINDS[near].keys))


def _secrets(fields: Fields) -> tuple[SecretMount, ...]:
    mounts = []
    for number, item in enumerate(fields.anything("secrets")):
        if isinstance(item, str):
            mounts.append(SecretMount(name=item))
        elif isinstance(item, dict):
            table = fields.below(f"secrets[{number}]", item)
            table.only(("name", "env"))
            mounts.append(SecretMount(name=table.required_text("name"), env=table.text("env")))
        else:
            fields.problem(f"secrets[{number}]", "is neither a name nor a table with name and env")
    return tuple(mounts)


def _options(fields: Fields) -> PipOptions:
    return PipOptions(
        index_url=fields.text("index_url"),
        extra_index_urls=fields.texts("extra_index_urls"),
        pre=fields.flag("pre"),
        extra_args=fields.text("extra_args") or "",
    )


def _install(fields: Fields) -> Install:
    text = fields.text("install")
    if text is None or text == "dependencies":
        return "dependencies"
    if text != "project":
        fields.problem("install", f"is {text!r}; use one of: dependencies, project")
    return "project"


def _pip(fields: Fields) -> dict[str, Any]:
    return {"options": _options(fields), "secrets": _secrets(fields)}


def _project(fields: Fields) -> dict[str, Any]:
    return {"install": _install(fields), "lock": fields.text("lock")}


def _plain(fields: Fields) -> dict[str, Any]:
    return {"extra_args": fields.text("extra_args") or "", "secrets": _secrets(fields)}


def _copy(fields: Fields) -> Copy:
    return Copy(
        source=fields.required_text("copy"),
        to=fields.text("to") or ".",
        contents=fields.flag("contents"),
        ignore=fields.texts("ignore"),
        owner=fields.text("owner"),
    )


def _bundle(fields: Fields) -> CodeBundle:
    return CodeBundle(
        folder=fields.required_text("code_bundle"),
        files=fields.texts("files"),
        to=fields.text("to") or ".",
        owner=fields.text("owner"),
    )


def _pixi(fields: Fields) -> dict[str, Any]:
    return {"environment": fields.text("environment") or "default", **_plain(fields)}


_SECRETS: dict[str, Type] = {"secrets": "secrets"}
_EXTRA: dict[str, Type] = {"extra_args": "text", **_SECRETS}
_PIP: dict[str, Type] = {"index_url": "text", "extra_index_urls": "texts", "pre": "flag", **_EXTRA}
_PROJECT: dict[str, Type] = {"install": "install", "lock": "text"}
_PLACE: dict[str, Type] = {"to": "text", "owner": "text"}
_ENVIRONMENT: dict[str, Type] = {"environment": "text"}

KINDS: dict[str, Kind] = {
    "apt": Kind(value="texts", keys=_SECRETS, read=lambda f: Apt(packages=f.texts("apt"), secrets=_secrets(f))),
    "pip": Kind(value="texts", keys=_PIP, read=lambda f: Pip(packages=f.texts("pip"), **_pip(f))),
    "requirements": Kind(
        value="text", keys=_PIP, read=lambda f: Requirements(file=f.required_text("requirements"), **_pip(f))
    ),
    "uv_project": Kind(
        value="text",
        keys={**_PROJECT, **_PIP},
        read=lambda f: UvProject(project=f.required_text("uv_project"), **_project(f), **_pip(f)),
    ),
    "uv_script": Kind(value="text", keys=_PIP, read=lambda f: UvScript(script=f.required_text("uv_script"), **_pip(f))),
    "wheels": Kind(
        value="text",
        keys={"package": "text", **_PIP},
        required=("package",),
        read=lambda f: Wheels(folder=f.required_text("wheels"), package=f.required_text("package"), **_pip(f)),
    ),
    "poetry_project": Kind(
        value="text",
        keys={**_PROJECT, **_EXTRA},
        read=lambda f: PoetryProject(project=f.required_text("poetry_project"), **_project(f), **_plain(f)),
    ),
    "pixi_project": Kind(
        value="text",
        keys={**_PROJECT, **_ENVIRONMENT, **_EXTRA},
        read=lambda f: PixiProject(manifest=f.required_text("pixi_project"), **_project(f), **_pixi(f)),
    ),
    "pixi_script": Kind(
        value="text",
        keys={**_ENVIRONMENT, **_EXTRA},
        read=lambda f: PixiScript(script=f.required_text("pixi_script"), **_pixi(f)),
    ),
    "commands": Kind(
        value="texts", keys=_SECRETS, read=lambda f: Commands(commands=f.texts("commands"), secrets=_secrets(f))
    ),
    "env": Kind(value="text_table", keys={}, read=lambda f: Env(variables=sorted_variables(f.text_table("env")))),
    "workdir": Kind(value="text", keys={}, read=lambda f: Workdir(path=f.required_text("workdir"))),
    "copy": Kind(value="text", keys={**_PLACE, "contents": "flag", "ignore": "texts"}, read=_copy),
    "code_bundle": Kind(value="text", keys={"files": "texts", **_PLACE}, required=("files",), read=_bundle),
    "user": Kind(value="text", keys={}, read=lambda f: User(name=f.required_text("user"))),
}
_OPTIONS = tuple(dict.fromkeys(key for kind in KINDS.values() for key in kind.keys))
