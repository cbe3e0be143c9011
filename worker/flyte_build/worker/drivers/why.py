"""Why an image has to be built: what changed since the last one of its name."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from flyte_build.builder.canonical import encode
from flyte_build.builder.difference import differences
from flyte_build.registry.artifacts import PLAN_TYPE, fetch_artifact
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.errors import RegistryProtocol
from flyte_build.registry.inventory import Stored, list_images
from flyte_build.registry.names import ImageName, ImageReference
from flyte_build.worker.drivers.image import Planned


def explain(planned: Planned, registry: RegistryClient) -> tuple[str, ...]:
    """Sentences for a person. Raises RegistryError when the repository or a stored plan cannot be read."""
    repository = planned.target.repository
    stored = [image for image in list_images(registry, repository) if image.spec_digest is not None]
    if any(image.own_tag == planned.plan.tag for image in stored):
        return (f"nothing changed: {repository} has the image of this spec",)
    if not stored:
        return (f"{repository} has no image that flyte-build made",)
    last = stored[0]
    plan = _plan_of(last, registry)
    when = last.created.isoformat(timespec="minutes") if last.created else "some time ago"
    if plan is None:
        return (f"the last image ({last.own_tag[:12]}, {when}) has no plan attached, so what changed is not known",)
    changed = differences(plan, json.loads(encode(planned.plan)))
    return (f"since the last image ({last.own_tag[:12]}, {when}):", *(f"  {sentence}" for sentence in changed))


def _plan_of(image: Stored, registry: RegistryClient) -> dict[str, object] | None:
    for entry in image.attached:
        name = ImageReference(image.reference.repository, entry.digest)
        if registry.manifest(name).artifact_type != PLAN_TYPE:
            continue
        with tempfile.TemporaryDirectory(prefix="flyte-build-why-") as folder:
            files = fetch_artifact(registry, ImageName(name.repository, digest=name.digest), Path(folder), PLAN_TYPE)
            try:
                found = json.loads(files[0].read_bytes())
            except (ValueError, IndexError) as error:
                raise RegistryProtocol(f"the plan attached to {image.reference} is not JSON") from error
        return found if isinstance(found, dict) else None
    return None
