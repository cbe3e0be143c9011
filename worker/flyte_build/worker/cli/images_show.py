"""How the images of a repository are shown: a line for people, a document for programs."""

from __future__ import annotations

from datetime import datetime, timezone

from flyte_build.registry.inventory import Stored


def line(image: Stored) -> str:
    """One image: reference, when, how large, the spec it was built from, tags."""
    tags = [tag[:12] if tag == image.own_tag else tag for tag in image.tags]
    spec = image.spec_digest.hex[:12] if image.spec_digest else "-"
    when = moment(image.created) or "-"
    return f"{image.reference}  {when:<20}  {size_of(image.size):>8}  {spec:<12}  {','.join(tags)}"


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
