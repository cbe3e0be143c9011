"""Writes docs/reference from the code: `make docs`. A test says when it is stale.

python docs/generate.py [FOLDER]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import yaml

from flyte_build.builder.sources import examples, meanings
from flyte_build.builder.sources.toml import IMAGE_KEYS
from flyte_build.builder.sources.toml_layers import KINDS
from flyte_build.worker import settings
from flyte_build.worker.cli import commands, sections
from flyte_build.worker.operating.metrics import Metrics

ROOT = Path(__file__).resolve().parents[1]
ROOMS = tuple(import_module(f"flyte_build.{name}") for name in ("registry", "builder", "bundler", "worker"))
HEAD = "<!-- Made by docs/generate.py (`make docs`) from the code: change that. -->\n\n"
KEYS = {
    "registry": "where images go, like ghcr.io/acme",
    "builder": "a Docker Buildx builder by name",
    "endpoint": "the URL of a flyte-build or Flyte endpoint",
    "project": "Flyte's project",
    "domain": "Flyte's domain",
    "store": "where `serve`, `worker` and `bundles` keep uploads, like s3://bucket/prefix",
    "sign": "with what images are signed: a key file, `env://VARIABLE`, a URI of a KMS, or `keyless`",
    "builder_id": "the URI of whoever builds, in the provenance",
    "sbom": "`false` attaches no bills of materials",
    "provenance": "`false` attaches no provenance",
    "tlog": "`false` keeps signatures out of the public transparency log, and does not look for them there",
    "platforms": "platforms of images that name none; a list in the table, commas in the variable",
    "images": "a table of bases by name, for `ref` and `flyte.Image.from_ref_name`",
    "secret_providers": "who is asked for build secrets, in order",
}


EXITS = """| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | it failed: one sentence with the cause and what to change, for a failed build also the step and its last lines |
| 2 | the command line is wrong |
| 3 | `--check` found an image missing |
| 130 | interrupted; nothing is left half-made |
"""
VARIABLES = {
    "FLYTE_BUILD_CACHE": "the folder for what is fetched once, as uv; `~/.cache/flyte-build` by default",
    "FLYTE_BUILD_CA_BUNDLE": "a file of authorities to trust, before `SSL_CERT_FILE`; mounted into build steps",
    "FLYTE_BUILD_DEBUG": "any value: show where in the code an error comes from",
    "FLYTE_BUILD_PLAIN_HTTP": "registries that speak plain http, with commas; those on loopback need not be named",
    "FLYTE_BUILD_REGISTRY_HOST": "the registry that the next two are for",
    "FLYTE_BUILD_REGISTRY_PASSWORD": "its password or token",
    "FLYTE_BUILD_REGISTRY_USERNAME": "its user",
    "FLYTE_BUILD_SERVICE": "in the registered `build-image` task: the build service that it asks",
    "FLYTE_BUILD_TOKEN": "the bearer token for an endpoint",
    "FLYTE_BUILD_TOKEN_AUDIENCE": "in a GitHub job without a token: show its OIDC identity, made for this audience",
    "FLYTE_BUILD_TOKEN_FILE": "a file with the bearer token, read anew at every call; before `FLYTE_BUILD_TOKEN`",
}


def cli() -> str:
    """Every command with its help and flags."""
    parts = [f"# Command line\n\nstdout is the answer; progress, notes and errors go to stderr.\n\n{EXITS}"]
    for name in commands.flyte_build.list_commands(click.Context(commands.flyte_build)):
        parts += _command(f"flyte-build {name}", commands.load(name))
    return "\n".join(parts)


def _command(path: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    yield f"## {path}\n\n{_prose(command.help or '')}\n"
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"`{path} {usage}`\n"
    for heading, flags in _sections(path, command):
        head = heading or "flag"
        yield f"| {head} | |\n| --- | --- |\n" + "".join(
            f"| {_cell(f'`{flag}`')} | {_cell(text)} |\n" for flag, text in flags
        )
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from _command(f"{path} {name}", inner)


def _sections(path: str, command: click.Command) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Flags under the headings that the command's own help has them; no heading where it has none."""
    context = click.Context(command, info_name=path)
    records = {one.opts[-1]: record for one in command.params if (record := one.get_help_record(context)) is not None}
    for heading, names in sections.FLAGS.get(path.removeprefix("flyte-build "), {"": tuple(records)}).items():
        if shown := [records[name] for name in names if name in records]:
            yield heading, shown


def _prose(text: str) -> str:
    return re.sub(r"(?m)^\s+", "", text.replace("\b", "")).replace("\f", "").replace("<", "&lt;").strip()


def _cell(text: str) -> str:
    return " ".join(_shown(text).replace("|", "\\|").split())


def _shown(text: str) -> str:
    """`<` is the beginning of a tag, except in code."""
    spans = text.split("`")
    return "`".join(span if number % 2 else span.replace("<", "&lt;") for number, span in enumerate(spans))


def _rows(head: str, meanings: dict[str, str]) -> str:
    lines = (f"| `{key}` | {_shown(what)} |\n" for key, what in meanings.items())
    return f"| {head} | |\n| --- | --- |\n" + "".join(lines)


def image_toml() -> str:
    """The keys of an image and of every kind of layer."""
    text = "# image.toml\n\nOne image, or several as `[[images]]`. Paths are relative to the file.\n"
    text += "\n## Keys of an image\n\n" + _rows("key", {key: meanings.IMAGE[key] for key in IMAGE_KEYS})
    text += "\n## Layers\n\nEach `[[layers]]` table is one of these, in the order in which they are written.\n\n"
    text += "| it says what it is by | other keys (required ones in bold) |\n| --- | --- |\n"
    for name, kind in KINDS.items():
        keys = (
            f"**`{key}`** ({kind.keys[key]})" if key in kind.required else f"`{key}` ({kind.keys[key]})"
            for key in kind.keys
        )
        text += f"| `{name}` ({kind.value}) | {', '.join(keys)} |\n"
    text += "\n## What they mean\n\n" + _rows("layer", meanings.KINDS) + "\n" + _rows("other key", meanings.KEYS)
    text += f"\n## A layer of every kind\n\n```toml\n{examples.document()}```\n"
    where = "../../builder/flyte_build/builder/sources/image.schema.json"
    return text + f"\nThe same as a JSON Schema, for editors: [image.schema.json]({where}).\n"


def settings_page() -> str:
    """Keys of `[tool.flyte-build]`, and every other variable of ours that the code reads."""
    text = "# Settings\n\nFlags first, then variables, then `[tool.flyte-build]` of the nearest pyproject.toml,\n"
    text += "then Flyte's config.yaml.\n"
    text += "\n## Keys\n\n| key | variable | |\n| --- | --- | --- |\n"
    for key in settings._KEYS:
        variable = "-" if key == "images" else f"`FLYTE_BUILD_{key.upper()}`"
        text += f"| `{key}` | {variable} | {KEYS.get(key, '')} |\n"
    return text + "\n## Other variables\n\n" + _rows("variable", variables())


def variables() -> dict[str, str]:
    """What every variable of ours means that is no setting; empty where nobody has said it yet."""
    known = {f"FLYTE_BUILD_{key.upper()}" for key in settings._KEYS}
    files = (file for room in ROOMS for place in room.__path__ for file in Path(place).rglob("*.py"))
    texts = (file.read_text(encoding="utf-8") for file in files)
    read = {name for text in texts for name in re.findall(r"\"(FLYTE_BUILD_[A-Z_]*[A-Z])\"", text)}
    meant = {**_flags_of_variables(), **VARIABLES}
    return {name: meant.get(name, "") for name in sorted(read - known)}


def _flags_of_variables() -> dict[str, str]:
    """`serve` and `worker` take flags from variables too."""
    options = [
        one for name in ("worker", "serve") for one in commands.load(name).params if isinstance(one, click.Option)
    ]
    return {one.envvar: f"`{one.opts[0]}`: {one.help}" for one in options if isinstance(one.envvar, str)}


def metrics() -> str:
    """Names as Prometheus shows them."""
    made = Metrics("")
    made.watch_queue(lambda: ({"queued": 0}, 0.0))
    text = "# Metrics\n\nWhat `/metrics` of an endpoint or worker says, for Prometheus.\n"
    text += "\n| metric | kind | |\n| --- | --- | --- |\n"
    for family in sorted(made.registry.collect(), key=lambda one: one.name):
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        text += f"| `{family.name}{suffix}` | {family.type} | {family.documentation} |\n"
    return text


def action() -> str:
    """Inputs and outputs of the GitHub Action."""
    document = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    text = f"# GitHub Action\n\n{document['description']}\n\n## Inputs\n\n| input | default | |\n| --- | --- | --- |\n"
    for name, entry in document["inputs"].items():
        default = f"`{entry['default']}`" if entry["default"] else ""
        text += f"| `{name}` | {default} | {_cell(entry['description'])} |\n"
    text += "\n## Outputs\n\n| output | |\n| --- | --- |\n"
    return text + "".join(f"| `{name}` | {_cell(one['description'])} |\n" for name, one in document["outputs"].items())


def errors() -> str:
    """The tree of errors, as their module draws it."""
    tree = import_module("flyte_build.registry.errors").__doc__ or ""
    return f"# Errors\n\n```\n{tree.strip()}\n```\n"


PAGES = {
    "cli.md": cli,
    "image-toml.md": image_toml,
    "settings.md": settings_page,
    "metrics.md": metrics,
    "action.md": action,
    "errors.md": errors,
}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "reference"
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (folder / name).write_text(HEAD + page(), encoding="utf-8")


if __name__ == "__main__":
    main()
