"""ImageService: whether the image that an SDK means is there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from flyteidl2.common.identifier_pb2 import RunIdentifier
from flyteidl2.imagebuilder import definition_pb2
from flyteidl2.imagebuilder import payload_pb2 as image_pb2
from flyteidl2.imagebuilder.service_connect import ImageService

from flyte_build.registry.errors import FlyteBuildError
from flyte_build.registry.names import ImageName
from flyte_build.worker.access.targets import repository_of
from flyte_build.worker.builds import aliases
from flyte_build.worker.endpoint.failures import not_found

if TYPE_CHECKING:
    from flyte_build.worker.builds.aliases import Alias
    from flyte_build.worker.endpoint.failures import Context
    from flyte_build.worker.endpoint.parts import Parts


class ImageRpc(ImageService):  # type: ignore[misc]
    """Which image: by default never known by the client's tag.

    The tag carries neither registry nor platform and is known to collide, so the client is sent on to ask for the
    build, which is answered from the true digest without building twice. With `trust_sdk_tags` it answers from what was
    built under the name, when that is one thing and the registry still has it.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def get_image(self, request: image_pb2.GetImageRequest, ctx: Context) -> image_pb2.GetImageResponse:
        """NOT_FOUND, which makes the client ask for the build; or the image, with the run that built it."""
        del ctx
        name = request.id.name[:300]
        if self._parts.trust_sdk_tags:
            project = request.project_id
            found = await asyncio.to_thread(self._find, project.name, project.domain, name)
            if found is not None:
                return image_pb2.GetImageResponse(image=_image(found, request.id))
        raise not_found(f"image that is known by the name {name!r} alone")

    def _find(self, project: str, domain: str, name: str) -> Alias | None:
        found = aliases.find(self._parts.database, project, domain, name, self._parts.platforms)
        if found is None:
            return None
        try:
            # What is allowed may have changed since, and the registry may have lost it.
            repository_of(found.target, self._parts.policies.of(project, domain))
            there = self._parts.registry.manifests.find(ImageName.parse(found.reference))
        except FlyteBuildError:
            return None
        return found if there is not None else None


def _image(found: Alias, asked: definition_pb2.ImageIdentifier) -> definition_pb2.Image:
    run = RunIdentifier(org=found.org, project=found.run.project, domain=found.run.domain, name=found.run.run)
    return definition_pb2.Image(id=asked, fqin=found.reference, build_run=run)
