"""Why an image has to be built: what changed since the last one of its name."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from flyte_build.builder.canonical import encode
from flyte_build.builder.difference import differences
from flyte_build.builder.difference_packages import package_changes
from flyte_build.builder.installed import parse_installed
from flyte_build.builder.plan import PinnedInstall, PipInstall
from flyte_build.registry.artifacts import INSTALLED_TYPE, PLAN_TYPE, fetch_artifact
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.errors import RegistryProtocol
from flyte_build.registry.inventory import Stored, list_images
from flyte_build.registry.names import ImageName, ImageReference
from flyte_build.registry.redact import plain
from flyte_build.worker.drivers.attached import read_attached
from flyte_build.worker.drivers.image import Planned

# Kinds of layers that install no Python package, or only what their requests name.
_KNOWN = frozenset({"pip", "pins", "apt", "env", "workdir", "user", "copy"})


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
        why = f"its attachments cannot be read ({plain(last.unlisted)})" if last.unlisted else "it has no plan attached"
        return (f"the last image is {last.own_tag[:12]}, {when}: {why}, so what changed is not known",)
    changed = differences(plan, json.loads(encode(planned.plan)))
    packages = _packages(planned, last, plan, registry)
    said = [*(f"  {sentence}" for sentence in changed), *(f"    {sentence}" for sentence in packages)]
    return (f"since the last image ({last.own_tag[:12]}, {when}):", *said)


def _packages(planned: Planned, last: Stored, plan: Mapping[str, object], registry: RegistryClient) -> tuple[str, ...]:
    """What another lock changes of what is installed in the last image; nothing where either is not known.

    A plan names the file of its pins by digest, so those of the last image are gone; what came of them is attached.
    """
    pip = [layer for layer in planned.plan.layers if isinstance(layer, PipInstall)]
    pins_of = [layer.tree for layer in planned.plan.layers if isinstance(layer, PinnedInstall)]
    pins_of += [layer.tree for layer in pip if layer.is_pinned]
    before, now = _layers(plan), _layers(json.loads(encode(planned.plan)))
    if not pins_of or before == now:
        return ()
    listings = read_attached(registry, last.reference, INSTALLED_TYPE, parse_installed)
    files = [planned.resolved.context.files[file.sha256] for tree in pins_of for file in tree.files]
    pins = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    everything = all(layer.is_pinned for layer in pip) and {layer.get("kind") for layer in (*before, *now)} <= _KNOWN
    installed = next(iter(listings.said.values()), ())
    return package_changes(installed, pins, python=planned.spec.python, everything=everything) if installed else ()


def _layers(plan: Mapping[str, object]) -> list[dict[str, object]]:
    found = plan.get("layers")
    return [layer for layer in found if isinstance(layer, dict)] if isinstance(found, list) else []


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
