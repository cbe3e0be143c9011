"""The buildx engine: a Dockerfile from the plan, run by Docker Buildx on whatever BuildKit Docker is pointed at."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from flyte_build.builder import dockerfile, process
from flyte_build.builder.buildx.argv import Invocation, build_argv
from flyte_build.builder.buildx.docker import find_engine
from flyte_build.builder.buildx.docker_config import private_config
from flyte_build.builder.buildx.failure import failure
from flyte_build.builder.buildx.held import held_folder
from flyte_build.builder.buildx.prepare import machine_secrets, prepare
from flyte_build.builder.buildx.progress import Documents, Narrator
from flyte_build.builder.buildx.survey import survey
from flyte_build.builder.context import Context, lay_out
from flyte_build.builder.engine import BuildOptions, BuiltImage
from flyte_build.builder.installed import Installed
from flyte_build.builder.plan import BuildPlan
from flyte_build.builder.uv import cache_folder
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import BuildCancelled, BuildFailed, EngineError, InvalidInput
from flyte_build.registry.names import Digest, ImageReference, Target


@dataclass(frozen=True, slots=True)
class BuildxEngine:
    """`Engine` by `docker buildx build`. Finds the engine when it builds, not when it is made."""

    def build(self, plan: BuildPlan, context: Context, target: Target, options: BuildOptions) -> BuiltImage:
        """As `Engine.build`. The working folder is removed in every case."""
        started = time.monotonic()
        with held_folder(cache_folder() / "builds") as work, ThreadPoolExecutor(1) as asking:
            asked = asking.submit(find_engine, options.builder)
            lay_out(plan, context, work / "context")
            engine = asked.result()
            engine.require(options.only or plan.platforms)
            if options.isolated:
                engine.require_isolation()
            call = prepare(work, engine, (plan, context, target), options)
            with machine_secrets(options.machine, work) as secrets:
                _execute(replace(call, secrets={**call.secrets, **secrets}), plan, options)
            digest = _digest(Path(call.metadata), options)
        pushed = options.output in {"push", "part"} and digest is not None
        return BuiltImage(
            spec_digest=plan.spec_digest,
            digest=digest,
            reference=ImageReference(target.repository, digest) if pushed and digest else None,
            platforms=plan.platforms,
            status="built",
            engine="buildx",
            seconds=time.monotonic() - started,
        )

    def installed(
        self, image: ImageReference, platforms: tuple[Platform, ...], options: BuildOptions
    ) -> tuple[Installed, ...]:
        """What is installed in a pushed image, for each platform; EngineError when that cannot be seen."""
        return survey(image, platforms, options)


def _execute(call: Invocation, plan: BuildPlan, options: BuildOptions) -> None:
    titles = tuple(step.title for step in dockerfile.steps(plan, cache=options.cache) if step.runs)
    documents, narrator = Documents(), Narrator(titles, options.progress)

    def hear(text: str) -> None:
        for document in documents.feed(text):
            narrator.hear(document)

    with private_config(options.credentials) as environment:
        code = process.run(
            build_argv(call),
            hear,
            cancelled=options.cancelled,
            timeout=options.timeout,
            until=options.until,
            environment=environment,
        )
    documents.close()
    if code is None:
        if options.cancelled.is_set():
            raise BuildCancelled("the build was cancelled")
        if options.until is not None and time.monotonic() > options.until():
            raise BuildCancelled("whoever builds did not say for too long that it lives, and the build was stopped")
        raise BuildFailed(f"the build took longer than {options.timeout:g} seconds and was stopped")
    if code != 0:
        raise failure(call.target, narrator.failed, tuple(documents.prose))


def _digest(metadata: Path, options: BuildOptions) -> Digest | None:
    if options.output == "none":
        return None
    try:
        return Digest.parse(json.loads(metadata.read_bytes())["containerimage.digest"])
    except (OSError, ValueError, KeyError, TypeError, InvalidInput) as error:
        raise EngineError("docker buildx reported success without the image's digest") from error
