"""ImageSpec -> `image.toml`: what `toml` reads back as the same spec. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from flyte_build.builder.layers import PipOptions, SecretMount
from flyte_build.builder.spec import ImageSpec, Layer
from flyte_build.builder.toml_text import toml_value

# The field that a layer's own key holds; every other field goes by its name.
_MAIN = {
    "apt": "packages",
    "pip": "packages",
    "requirements": "file",
    "uv_project": "project",
    "uv_script": "script",
    "wheels": "folder",
    "poetry_project": "project",
    "pixi_project": "manifest",
    "pixi_script": "script",
    "commands": "commands",
    "env": "variables",
    "workdir": "path",
    "copy": "source",
    "code_bundle": "folder",
    "user": "name",
}


def format_specs(specs: tuple[ImageSpec, ...]) -> str:
    """The text of an `image.toml` with these specs; several go under `[[images]]`."""
    if len(specs) == 1:
        return _image(specs[0], "")
    return "\n".join(f"[[images]]\n{_image(spec, 'images.')}" for spec in specs)


def _image(spec: ImageSpec, prefix: str) -> str:
    head = [
        f"{field.name} = {toml_value(value)}\n"
        for field in fields(spec)
        if field.name not in ("platforms", "layers") and (value := getattr(spec, field.name)) is not None
    ]
    if spec.platforms:
        head.append(f"platforms = {toml_value([str(platform) for platform in spec.platforms])}\n")
    tables = [f"\n[[{prefix}layers]]\n{''.join(_lines(layer))}" for layer in spec.layers]
    return "".join((*head, *tables))


def _lines(layer: Layer) -> Iterator[str]:
    main = _MAIN[layer.kind]
    value = getattr(layer, main)
    yield f"{layer.kind} = {toml_value(dict(value) if layer.kind == 'env' else value)}\n"
    for name, part in _others(layer, main):
        yield f"{name} = {toml_value(part)}\n"


def _others(layer: Layer, main: str) -> Iterator[tuple[str, object]]:
    """The fields that say more than their defaults."""
    for field in fields(layer):
        value = getattr(layer, field.name)
        if field.name == main or value == field.default:
            continue
        if isinstance(value, PipOptions):
            usual = PipOptions()
            yield from (
                (one.name, part)
                for one in fields(value)
                if (part := getattr(value, one.name)) != getattr(usual, one.name)
            )
        elif field.name == "secrets":
            yield "secrets", [_secret(secret) for secret in value]
        else:
            yield field.name, value


def _secret(secret: SecretMount) -> object:
    return secret.name if secret.env is None else {"name": secret.name, "env": secret.env}
