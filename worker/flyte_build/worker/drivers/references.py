"""Bases by name: `ref` of a spec -> the base that settings give that name."""

from __future__ import annotations

from dataclasses import replace

from flyte_build.builder import check
from flyte_build.builder.spec import ImageSpec
from flyte_build.registry.errors import InvalidSpec, Problem


def look_up(spec: ImageSpec, images: tuple[tuple[str, str], ...]) -> ImageSpec:
    """`spec` with a base in place of its `ref`; as it is when it has none.

    Raises InvalidSpec for a name that is not among `images`, with whatever else can be seen to be wrong.
    """
    if spec.ref is None or spec.base is not None or spec.dockerfile is not None:
        return spec
    known = dict(images)
    base = known.get(spec.ref)
    if base is not None:
        return replace(spec, base=base, ref=None)
    there_is = f"there is {', '.join(sorted(known))}" if known else "none is configured"
    unknown = Problem(
        "ref",
        f"{spec.ref!r} is the name of no image; {there_is}; write it under [tool.flyte-build.images] in pyproject.toml"
        " or image.image_refs in Flyte's config.yaml",
    )
    others = check.spec(replace(spec, ref=None))
    raise InvalidSpec(f"image {spec.name!r}", (unknown, *others))
