"""Building on the real engine, and looking at what came out of it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.conftest import Parts
from tests.engine import run_image

from flyte_build.builder.buildx.engine import BuildxEngine
from flyte_build.builder.engine import BuildEvent, BuildOptions, BuiltImage, StepEnded
from flyte_build.builder.machine import find_machine
from flyte_build.builder.plan import BuildPlan, plan
from flyte_build.builder.resolve import resolve
from flyte_build.builder.spec import ImageSpec
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.names import ImageReference, Repository, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A build that succeeded, and the events that it told of."""

    image: BuiltImage
    plan: BuildPlan
    events: list[BuildEvent]

    @property
    def reference(self) -> ImageReference:
        assert self.image.reference is not None
        return self.image.reference

    def cached(self) -> dict[str, bool]:
        """Whether each step that ended was answered from the cache, by title."""
        return {event.title: event.cached for event in self.events if isinstance(event, StepEnded)}


@dataclass(slots=True, kw_only=True)
class Workshop:
    """Specs become images under one repository of this test's own."""

    parts: Parts
    root: Path
    name: str

    def spec(self) -> ImageSpec:
        """The test base with its Python."""
        return ImageSpec(name="image", base=self.parts.base, python=self.parts.python)

    def build(self, spec: ImageSpec, options: BuildOptions | None = None) -> Built:
        """Build and push; paths of the spec are relative to `root`."""
        resolved = resolve(spec, self.root, RegistryClient())
        planned = plan(resolved)
        events: list[BuildEvent] = []
        options = replace(options or BuildOptions(machine=find_machine()), progress=events.append)
        target = Target(Repository.parse(f"{self.parts.registry}/{self.name}"), (planned.tag,))
        image = BuildxEngine().build(planned, resolved.context, target, options)
        return Built(image=image, plan=planned, events=events)

    def run(self, built: Built, *argv: str) -> str:
        """What a command prints in the image (`--network none`); AssertionError when it fails."""
        return run_image(str(built.reference), *argv)

    def config(self, built: Built) -> dict[str, Any]:
        """The image's configuration, as somebody else's tool reads it."""
        done = subprocess.run(
            ["crane", "config", str(built.reference)], capture_output=True, text=True, timeout=60, check=True
        )
        config: dict[str, Any] = json.loads(done.stdout)
        return config
