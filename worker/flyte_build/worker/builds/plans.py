"""Requests in the form `plan`: our canonical plan, and the files that it names by digest.

A spec is resolved by the service; a plan was made by the client, so it is read as if an attacker had written it: once
by the endpoint, which refuses to the caller, and again by the worker, which is who builds.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from flyte_build.builder import dockerfile
from flyte_build.builder.check_plan import require_sound
from flyte_build.builder.decoding import decode
from flyte_build.builder.plan import LayersPlan
from flyte_build.registry.errors import InvalidInput, ServiceError
from flyte_build.registry.names import Digest, ImageReference, parse_tag
from flyte_build.worker.stores.keys import ObjectKey

if TYPE_CHECKING:
    from pathlib import Path

    from flyte_build.worker.access.policy import Policy
    from flyte_build.worker.stores.store import Store

MAX_PLACES = 16 << 20
_AT_ONCE = 8
# Names of images by their spec are the builder's to give.
_OWN_TAG = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What a plan leaves out: where its base and other images lie (digest -> reference), further tags, and the object
    of every file (sha256 -> key of the store)."""

    base: str
    images: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()

    def encode(self) -> bytes:
        """JSON, the same for the same places."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def decode(cls, data: bytes) -> Places:
        """The inverse, of what this service itself wrote."""
        document = json.loads(data)
        pairs = {name: tuple((one[0], one[1]) for one in document[name]) for name in ("images", "files")}
        return cls(base=document["base"], tags=tuple(document["tags"]), **pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenPlan:
    """A plan that may be built in its project, with its base and its other images where they lie."""

    plan: LayersPlan
    base: ImageReference
    images: dict[Digest, ImageReference]


def take(data: bytes, places: Places, policy: Policy) -> TakenPlan:
    """The plan of these bytes, whose SHA-256 therefore is its spec digest.

    Raises UnknownRecipe, InvalidInput for what is no plan or does not fit its places, and ServiceDenied for what the
    project may not build on or send.
    """
    plan = decode(data)
    if not isinstance(plan, LayersPlan):
        raise InvalidInput(
            "a Dockerfile is not built by a service: its steps could take other projects' caches",
            hint="build it here with --engine buildx, or write the image as layers",
        )
    require_sound(plan)
    for tag in places.tags:
        if _OWN_TAG.fullmatch(parse_tag(tag)):
            raise InvalidInput(f"the tag {tag} could be that of another spec", hint="choose another one")
    base, images = _lying(plan, places)
    for image in (base, *images.values()):
        policy.check_base(image.repository)
    policy.check_context(sum(sizes_of(plan).values()))
    return TakenPlan(plan=plan, base=base, images=images)


def sizes_of(plan: LayersPlan) -> dict[str, int]:
    """The size in bytes of every file that the plan needs, by its sha256."""
    return {file.sha256: file.size for tree in plan.trees() for file in tree.files if file.link is None}


def _lying(plan: LayersPlan, places: Places) -> tuple[ImageReference, dict[Digest, ImageReference]]:
    base = ImageReference.parse(places.base)
    found = {Digest.parse(digest): ImageReference.parse(text) for digest, text in places.images}
    wanted = set(dockerfile.named_images(plan).values())
    if base.digest != plan.base or {image.digest for image in found.values()} != wanted or set(found) != wanted:
        raise InvalidInput("the images that the plan is built on are not those that it names by digest")
    return base, found


def fetch_files(store: Store, places: Places, folder: Path) -> None:
    """Every file of a plan into `folder` (created), named by its sha256. ServiceError when one is not what it was."""
    folder.mkdir(mode=0o700)

    def fetch(pair: tuple[str, str]) -> None:
        sha256, key = pair
        if store.fetch(ObjectKey.parse(key), folder / sha256) != sha256:
            raise ServiceError(f"the uploaded file {sha256[:12]}… is not what its name says", hint="build again")

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            list(pool.map(fetch, places.files))
        finally:
            pool.shutdown(cancel_futures=True)
