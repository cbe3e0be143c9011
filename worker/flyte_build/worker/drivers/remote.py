"""The image line with a build service in place of an engine: found, or uploaded, asked for and followed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flyte_build.builder.canonical import encode
from flyte_build.builder.context import Context
from flyte_build.builder.decoding import MAX_PLAN
from flyte_build.builder.engine import BuildOptions, BuiltImage
from flyte_build.builder.plan import BuildPlan, LayersPlan
from flyte_build.registry.errors import (
    BuildCancelled,
    BuildFailed,
    InvalidInput,
    ServiceError,
)
from flyte_build.registry.names import ImageReference, Target
from flyte_build.worker.builds.entries import Entry
from flyte_build.worker.builds.values import ACTIVE
from flyte_build.worker.client.builds import BuildsClient
from flyte_build.worker.client.files import FileUploads
from flyte_build.worker.drivers.image import Outcome, Planned


def _nothing(text: str) -> None:
    """For when nobody listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteEngine:
    """`Engine` that asks a build service, for one project and domain.

    `say` is told the service's own notes, `begun` the build's id as soon as there is one: the build goes on whether
    or not anybody waits for it.
    """

    service: BuildsClient
    uploads: FileUploads
    project: str
    domain: str
    force: bool = False
    say: Callable[[str], None] = field(default=_nothing)
    begun: Callable[[str], None] = field(default=_nothing)

    def build(self, plan: BuildPlan, context: Context, target: Target, options: BuildOptions) -> BuiltImage:
        """As `Engine.build`; ServiceError and UploadError too. Only pushes: what is built is not on this machine."""
        if options.output != "push":
            raise InvalidInput("a build service pushes what it builds", hint="leave out --load and --no-push")
        if not isinstance(plan, LayersPlan):
            raise InvalidInput(
                "a Dockerfile is not built by a service: its steps could take other projects' caches",
                hint="build it here with --engine buildx, or write the image as layers",
            )
        started = time.monotonic()
        data = encode(plan)
        if len(data) > MAX_PLAN:
            raise InvalidInput(
                f"the plan has {len(data):,} bytes, and {MAX_PLAN:,} is the most", hint="copy fewer files"
            )
        asked = self._asked(data, context, target, options)
        begun = self._begin(asked, context)
        end = self._follow(begun, options)
        if end["id"] != begun["id"] and target.tags[1:]:
            # It turned out to be the same image as another build's, which knows nothing of our tags.
            end = self._follow(self._begin({**asked, "force": False}, context), options)
        return self._built(plan, end, time.monotonic() - started)

    def _asked(self, data: bytes, context: Context, target: Target, options: BuildOptions) -> dict[str, object]:
        return {
            "version": 1,
            "project": self.project,
            "domain": self.domain,
            "target": str(target),
            "plan": self.uploads.text(data),
            "base": str(context.base),
            "images": {str(digest): str(image) for digest, image in context.images.items()},
            "tags": list(target.tags[1:]),
            "force": self.force,
            "timeout": options.timeout or 0,
        }

    def _begin(self, asked: Mapping[str, object], context: Context) -> Mapping[str, Any]:
        """The document of the build, once the service has everything."""
        answer = self.service.begin(asked, uuid.uuid4().hex)
        if missing := answer.get("missing"):
            known = {str(sha256) for sha256 in missing} & context.files.keys()
            files = self.uploads.files({sha256: context.files[sha256] for sha256 in sorted(known)})
            answer = self.service.begin({**asked, "files": files}, uuid.uuid4().hex)
        if "build" not in answer:
            raise ServiceError(f"{self.service.endpoint} lacks files that it was given", hint="build again")
        build: Mapping[str, Any] = answer["build"]
        if build["state"] in ACTIVE:
            self.begun(str(build["id"]))
        return build

    def _follow(self, begun: Mapping[str, Any], options: BuildOptions) -> Mapping[str, Any]:
        """The build's document when it has ended; of an image that was there already, that is now."""
        if begun["status"] == "exists":
            return begun
        build_id = str(begun["id"])
        for entry in self.service.log(build_id, follow=True):
            if not isinstance(entry, Entry):
                return entry
            event = entry.event
            if event is not None:
                options.progress(event)
            elif entry.text:
                self.say(entry.text)
        raise ServiceError(f"{self.service.endpoint} ended the log of a build that goes on")

    def _built(self, plan: BuildPlan, end: Mapping[str, Any], seconds: float) -> BuiltImage:
        if end["state"] == "cancelled":
            raise BuildCancelled(f"the build {end['id']} was cancelled")
        if end["state"] != "succeeded":
            log = str(self.service.show(end["id"]).get("log", ""))
            raise BuildFailed(
                end["error"] or f"the build {end['id']} failed",
                step=end["step"],
                log=tuple(log.splitlines()),
                hint=f"the whole log: flyte-build builds logs {end['id']} --endpoint {self.service.endpoint}",
            )
        if end["spec_digest"] != str(plan.spec_digest):
            raise ServiceError(f"{self.service.endpoint} built another image than was asked for")
        reference = ImageReference.parse(end["reference"])
        return BuiltImage(
            spec_digest=plan.spec_digest,
            digest=reference.digest,
            reference=reference,
            platforms=plan.platforms,
            status="exists" if end["status"] == "exists" else "built",
            engine="remote",
            seconds=seconds,
        )


def build(planned: Planned, engine: RemoteEngine, options: BuildOptions) -> Outcome:
    """Asks the service, also for what is in the registry: what is to be believed there, and signed, only it knows."""
    built = engine.build(planned.plan, planned.resolved.context, planned.target, options)
    return Outcome(planned=planned, status=built.status, built=built, notes=planned.notes)
