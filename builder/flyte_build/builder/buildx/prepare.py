"""Everything that a build reads, laid into one folder: trees, recipe, Dockerfile; and the machine's secrets."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from flyte_build.builder import dockerfile, uv
from flyte_build.builder.buildx.argv import Invocation
from flyte_build.builder.buildx.docker import DockerEngine
from flyte_build.builder.buildx.memory import memory_file
from flyte_build.builder.context import Context
from flyte_build.builder.engine import BuildOptions, step
from flyte_build.builder.machine import Machine
from flyte_build.builder.plan import BuildPlan, DockerfilePlan
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.names import Target


def prepare(
    work: Path, engine: DockerEngine, job: tuple[BuildPlan, Context, Target], options: BuildOptions
) -> Invocation:
    """Fill `work` (this user's only; the plan's trees lie in its `context`) and say how Buildx is to be called.

    Raises PackageIndexError when uv cannot be had.
    """
    plan, context, target = job
    tree = work / "context"
    if dockerfile.needs_recipe(plan):
        _lay_recipe(plan, tree / "recipe", options)
    file = work / "Dockerfile"
    file.write_text(dockerfile.render(plan, context.base, cache=options.cache), encoding="utf-8")
    return Invocation(
        docker=engine.command,
        context=str(tree / dockerfile.context_folder(plan)),
        contexts=_contexts(plan, context),
        arguments=dockerfile.build_arguments(plan),
        dockerfile=str(file),
        metadata=str(work / "metadata.json"),
        platforms=options.only or plan.platforms,
        target=target,
        output=options.output,
        builder=options.builder,
        stores_images=engine.stores_images,
        secrets={name: str(path) for name, path in options.secrets.items()},
        compression=options.compression,
        annotations=_marks(plan, context) if engine.annotates else {},
        # A Dockerfile's own steps have no mount of ours (see `_lay_recipe`).
        no_cache=options.no_cache or (bool(options.cache) and isinstance(plan, DockerfilePlan)),
        reproducible=options.reproducible,
        cache_from=options.cache_from,
        cache_to=options.cache_to,
    )


def _contexts(plan: BuildPlan, context: Context) -> dict[str, str]:
    named = dockerfile.named_images(plan).items()
    return {name: f"docker-image://{context.images[digest]}" for name, digest in named}


def _marks(plan: BuildPlan, context: Context) -> dict[str, str]:
    return {
        dockerfile.SPEC_DIGEST_LABEL: str(plan.spec_digest),
        dockerfile.RECIPE_LABEL: str(plan.recipe),
        # OCI image-spec, annotations.md. Where the base lies is left out: it would change the image's digest.
        "org.opencontainers.image.base.digest": str(context.base.digest),
    }


def _lay_recipe(plan: BuildPlan, folder: Path, options: BuildOptions) -> None:
    common = folder / "common"
    # copyfile: with the timestamps of a wheel, BuildKit would take another recipe's file of the same size for ours.
    shutil.copytree(str(resources.files("flyte_build.builder") / "recipe_files"), common, copy_function=shutil.copyfile)
    if options.cache:
        # BuildKit takes a step for done whatever its cache mounts and secrets were: another tenant's result, made with
        # their secrets or from a wheel that they planted. A file that every step mounts tells the tenants' steps apart.
        (common / "tenant").write_text(hashlib.sha256(options.cache.encode()).hexdigest(), encoding="ascii")
    for platform in options.only or plan.platforms:
        place = folder / platform.architecture / "bin"
        place.mkdir(parents=True)
        _link_or_copy(_uv(platform, options), place / "uv")
    # Whatever this process's umask: a step that is not root's reads them too, and modes enter BuildKit's cache keys.
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
        elif path.parent == common:
            path.chmod(0o644)


def _uv(platform: Platform, options: BuildOptions) -> Path:
    if not uv.has_uv(platform):
        title = f"fetching uv for {platform} (once)"
        with step(options.progress, title):
            uv.fetch_uv(platform, options.cancelled)
    return uv.fetch_uv(platform)


def _link_or_copy(source: Path, destination: Path) -> None:
    """A hard link where the file systems allow it: uv is 60 MB and read only."""
    try:
        os.link(source, destination)
    except OSError:
        shutil.copy2(source, destination)


@contextmanager
def machine_secrets(machine: Machine, work: Path) -> Iterator[dict[str, str]]:
    """The machine's files by the names of their secrets; what is written for it is there while the block runs."""
    secrets: dict[str, str] = {}
    if machine.ca is not None:
        secrets[dockerfile.machine_secret("ca")] = str(machine.ca)
    if machine.netrc is not None:
        secrets[dockerfile.machine_secret("netrc")] = str(machine.netrc)
    if not (script := machine.index_script()):
        yield secrets
        return
    # An index may have a password in its URL.
    with memory_file(script.encode(), work / "index.sh") as file:
        yield secrets | {dockerfile.machine_secret("index"): str(file)}
