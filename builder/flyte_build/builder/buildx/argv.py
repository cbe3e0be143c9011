"""The command line of one build. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flyte_build.builder.engine import Compression, Output
from flyte_build.builder.recipe import EPOCH
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.names import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """Everything that `docker buildx build` is told. Paths are strings because argv is."""

    docker: tuple[str, ...]
    context: str
    dockerfile: str
    metadata: str
    platforms: tuple[Platform, ...]
    target: Target
    output: Output
    builder: str | None
    stores_images: bool
    secrets: Mapping[str, str]
    contexts: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    compression: Compression = "zstd"
    annotations: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False
    reproducible: bool = False
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()


def build_argv(call: Invocation) -> tuple[str, ...]:
    """`docker buildx build …`; secrets are named by file, never by value."""
    argv = [*call.docker, "buildx", "build"]
    if call.builder:
        argv += ["--builder", call.builder]
    # The built-in attestations make equal builds differ; ours are attached afterwards.
    argv += ["--provenance=false", "--sbom=false", "--progress=rawjson"]
    argv += ["--file", call.dockerfile, "--metadata-file", call.metadata]
    argv += ["--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}"]
    for name, value in sorted(call.arguments.items()):
        argv += ["--build-arg", f"{name}={value}"]
    if call.no_cache:
        argv += ["--no-cache"]
    argv += ["--platform", ",".join(str(platform) for platform in call.platforms)]
    for name, place in sorted(call.contexts.items()):
        argv += ["--build-context", f"{name}={place}"]
    for name, file in sorted(call.secrets.items()):
        argv += ["--secret", f"id={name},{_field('src', file)}"]
    for source in call.cache_from:
        argv += ["--cache-from", source]
    for sink in call.cache_to:
        argv += ["--cache-to", sink]
    argv += ["--output", _output(call), call.context]
    return tuple(argv)


def _output(call: Invocation) -> str:
    name = _field("name", ",".join(str(name) for name in call.target.names()))
    if call.output == "part":
        # Docker's own exporter tags whatever it is given, and can therefore push nothing by digest alone.
        name = _field("name", f"{call.target.repository}:{part_tag(call.target, call.platforms)}")
    if call.output in {"push", "part"} and call.stores_images:
        # Neither unpacked nor kept by the engine: the registry is where everybody takes it from. An empty `push=`
        # is true to BuildKit and nothing to Buildx, which would else push once more from Docker's own store.
        return f"type=image,{name},push=,oci-mediatypes=true,unpack=false,store=false{_form(call)}"
    if call.output in {"push", "part"}:
        return f"type=image,{name},push=true,oci-mediatypes=true{_form(call) if call.annotations else ''}"
    if call.output == "load":
        return f"type=docker,{name}"
    return "type=cacheonly"


def part_tag(target: Target, platforms: tuple[Platform, ...]) -> str:
    """The tag of what is built of an image for some of its platforms."""
    return "-".join((target.tags[0], *(str(platform).replace("/", "-") for platform in platforms)))


def _form(call: Invocation) -> str:
    """How the manifest and its layers are written. BuildKit keeps no rewritten layer: every export pays anew."""
    stamps = ",rewrite-timestamp=true" if call.reproducible else ""
    return f",compression={call.compression}{stamps}{_annotations(call)}"


def _annotations(call: Invocation) -> str:
    """On the manifest, and where there are several on their index too: the one that a tag names must carry them."""
    levels = ("annotation", "annotation-index") if len(call.platforms) > 1 else ("annotation",)
    return "".join(
        f",{_field(f'{level}.{name}', value)}" for level in levels for name, value in sorted(call.annotations.items())
    )


def _field(name: str, value: str) -> str:
    """A field of a flag that is a line of CSV (RFC 4180)."""
    text = f"{name}={value}"
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\n\r') else text
