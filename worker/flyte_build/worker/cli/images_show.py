"""How the images of a repository are shown: a line for people, a document for programs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from flyte_build.registry.artifacts import PREDICATE_KEY
from flyte_build.registry.inventory import CREATED, Stored
from flyte_build.registry.moments import parse_moment
from flyte_build.registry.redact import plain

if TYPE_CHECKING:
    from flyte_build.registry.descriptors import Descriptor
    from flyte_build.worker.drivers.signed import Signed

_EVER = datetime.min.replace(tzinfo=timezone.utc)


def header(images: tuple[Stored, ...]) -> str:
    """What stands above the lines of these."""
    width = max(len(str(image.reference)) for image in images)
    return f"{'IMAGE':<{width}}  {'CREATED':<20}  {'SIZE':>8}  {'SPEC':<12}  TAGS"


def line(image: Stored) -> str:
    """One image: reference, when, how large, the spec it was built from, tags."""
    tags = [tag[:12] if tag == image.own_tag else tag for tag in image.tags]
    spec = image.spec_digest.hex[:12] if image.spec_digest else "-"
    when = moment(image.created) or "-"
    return f"{image.reference}  {when:<20}  {size_of(image.size):>8}  {spec:<12}  {','.join(tags)}"


def whole(image: Stored, signed: Signed) -> Iterator[str]:
    """All that is known of one image, without what is installed and attached."""
    yield str(image.reference)
    yield f"  platforms  {', '.join(map(str, image.platforms)) or 'none'}"
    yield f"  spec       {image.spec_digest or 'not built by flyte-build'}"
    yield f"  created    {moment(image.created) or 'not known'}"
    yield f"  signed     {_signed(image, signed)}"
    yield f"  size       {size_of(image.size)}"
    for blob in image.blobs:
        yield f"  blob       {blob.digest} {size_of(blob.size)} {blob.media_type}"


def _signed(image: Stored, signed: Signed) -> str:
    if signed.unknown:
        return f"not known: {plain(signed.unknown)}"
    kept = ((signed.signatures, "signature"), (signed.attestations, "attestation"))
    said = ", ".join(f"{number} {word}{'' if number == 1 else 's'}" for number, word in kept if number)
    if not signed.signatures:
        said = f"no signature, {said}" if said else "no"
    return said if said == "no" else f"{said}; by whom: `flyte-build verify {image.reference} --key KEY`"


def attached(image: Stored) -> Iterator[str]:
    """What is attached, the newest of each kind: a build that is repeated attaches its own log and provenance."""
    if image.unlisted:
        yield f"  attached   not known: {plain(image.unlisted)}"
    kinds: dict[str, list[Descriptor]] = defaultdict(list)
    for one in image.attached:
        predicate = dict(one.annotations).get(PREDICATE_KEY, "")
        kinds[" ".join(filter(None, (one.artifact_type or one.media_type, predicate)))].append(one)
    for kind, several in sorted(kinds.items()):
        newest = max(several, key=lambda one: (_attached_at(one) or _EVER, str(one.digest)))
        when = moment(_attached_at(newest))
        words = (plain(kind), f"of {when}" if when else "", f"{len(several) - 1} older" if several[1:] else "")
        yield f"  attached   {newest.digest} {', '.join(filter(None, words))}"


def _attached_at(one: Descriptor) -> datetime | None:
    return parse_moment(dict(one.annotations).get(CREATED, ""))


def document(image: Stored, *, whole: bool = False) -> dict[str, object]:
    """The same for `--json`; the `whole` one also has what is attached to it."""
    said: dict[str, object] = {
        "reference": str(image.reference),
        "tags": list(image.tags),
        "platforms": [str(platform) for platform in image.platforms],
        "spec_digest": str(image.spec_digest) if image.spec_digest else None,
        "created": moment(image.created) or None,
        "bytes": image.size,
        "blobs": [{"digest": str(one.digest), "bytes": one.size} for one in image.blobs],
    }
    if whole:
        said["unlisted"] = image.unlisted or None
        said["attached"] = [
            {"digest": str(one.digest), "artifact_type": one.artifact_type, "annotations": dict(one.annotations)}
            for one in image.attached
        ]
    return said


def moment(of: datetime | None) -> str:
    """ISO 8601 in UTC, empty for a time that is not known."""
    return of.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if of else ""


def size_of(count: int) -> str:
    """A number of bytes for people."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
