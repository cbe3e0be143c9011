"""The `flyte` SDK's image builder: `flyte.init(image_builder="flyte-build")`, `image.builder: flyte-build`.

Loaded by the SDK through the entry point group `flyte.plugins.image_builders`. The SDK's own tag is never looked at:
identity is our spec digest, and what comes back is a pinned reference.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flyte_build.builder.sources import sdk
from flyte_build.registry.errors import FlyteBuildError
from flyte_build.worker import settings as configured

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flyte import Image, ImageBuild

    from flyte_build.registry.client import RegistryClient
    from flyte_build.worker.drivers.image import Planned
    from flyte_build.worker.settings import Settings


class AskTheBuilder:
    """An image checker that always says "not known", so that the SDK asks the builder, which really looks.

    The SDK assumes that an image exists when a builder has no checkers or when all of them raise.
    """

    @classmethod
    async def image_exists(cls, repository: str, tag: str, arch: tuple[str, ...] = ()) -> str | None:  # noqa: ARG003
        """None, whatever is asked."""
        return None


class FlyteBuildImageBuilder:
    """The SDK's `ImageBuilder` protocol, by the same driver as `flyte-build image`."""

    def get_checkers(self) -> list[type[AskTheBuilder]]:
        """One checker, which sends the SDK on to `build_image`."""
        return [AskTheBuilder]

    async def build_image(
        self,
        image: Image,
        dry_run: bool,
        wait: bool = True,  # noqa: ARG002 - a local build is done when it returns
        force: bool = False,
    ) -> ImageBuild:
        """Find or build `image`; its `uri` is `host/repo@sha256:…` (the tag's name on a dry run).

        Raises FlyteBuildError, which the SDK reports as ImageBuildError with its sentence.
        """
        import flyte

        try:
            uri = await asyncio.to_thread(_build, image, dry_run=dry_run, force=force)
        except FlyteBuildError as error:
            # The SDK shows the sentence only, and the reader needs to know what to change.
            if error.hint:
                error.args = (f"{error.sentence} ({error.hint})",)
            raise
        return flyte.ImageBuild(uri=uri, remote_run=None)


def _build(image: Image, *, dry_run: bool, force: bool) -> str:
    from flyte_build.worker.drivers import image as driver
    from flyte_build.worker.drivers import references
    from flyte_build.worker.drivers.access import Clients
    from flyte_build.worker.secrets.gather import SecretSources, secret_files, wanted

    settings = configured.load(Path.cwd())
    spec = sdk.to_spec(image)
    spec = references.look_up(replace(spec, registry=spec.registry or settings.registry), settings.images)
    sources = SecretSources(chosen=settings.secret_providers)
    registry = Clients(sources).of(spec)
    planned = driver.prepare(spec, Path.cwd(), registry)
    if dry_run:
        return str(planned.target)
    with secret_files(wanted(planned.plan), sources) as secrets:
        return _built(planned, registry, secrets, settings, force=force)


def _built(
    planned: Planned, registry: RegistryClient, secrets: Mapping[str, Path], settings: Settings, *, force: bool
) -> str:
    from flyte_build.builder.buildx.engine import BuildxEngine
    from flyte_build.builder.engine import BuildOptions
    from flyte_build.builder.machine import find_machine
    from flyte_build.builder.provenance import BUILDER_CLI
    from flyte_build.worker.cli.progress import progress
    from flyte_build.worker.cli.trusting import TrustFlags
    from flyte_build.worker.drivers import image as driver

    with progress("plain") as sink:
        options = BuildOptions(builder=settings.builder, machine=find_machine(), secrets=secrets, progress=sink)
        engine = BuildxEngine()
        wishes = driver.Wishes(surveyor=engine, trust=TrustFlags().trust(settings, BUILDER_CLI))
        built = driver.build(planned, engine, registry, options, force=force, wishes=wishes).built
    if built is None or built.reference is None:
        raise AssertionError("a pushed build has a reference")
    return str(built.reference)
