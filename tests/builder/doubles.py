"""What the builder's pure tests have in place of a registry, and the shortest way from a spec to its plan."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from flyte_build.builder.canonical import encode
from flyte_build.builder.check_plan import require_sound
from flyte_build.builder.decoding import decode
from flyte_build.builder.plan import BuildPlan, LayersPlan, plan
from flyte_build.builder.resolve import ResolvedSpec, resolve
from flyte_build.builder.spec import ImageSpec
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import FlyteBuildError, RegistryMissing
from flyte_build.registry.names import Digest, ImageName, ImageReference

AMD64 = Platform.parse("linux/amd64")
ARM64 = Platform.parse("linux/arm64")
BASE = "registry.test/base:1"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundBase:
    """What `KnownBases` says of an image."""

    reference: ImageReference


class KnownBases:
    """Every image there is, with a digest made from its name; none whose name has `missing` in it."""

    def resolve(self, name: ImageName, platforms: tuple[Platform, ...]) -> FoundBase:
        """As `BaseResolver.resolve`."""
        if "missing" in str(name):
            raise RegistryMissing(f"there is no image {name}", hint="check the name and the tag")
        digest = name.digest or Digest("sha256", hashlib.sha256(str(name).encode()).hexdigest())
        return FoundBase(reference=name.pinned(digest))


def resolved(spec: ImageSpec, root: Path = Path()) -> ResolvedSpec:
    """`spec` with files below `root` and made-up base digests."""
    return resolve(spec, root, KnownBases())


def planned(spec: ImageSpec, root: Path = Path()) -> BuildPlan:
    """The plan of `spec`, as `resolved`; a service that did not make it would take it."""
    made = plan(resolved(spec, root))
    try:
        assert decode(encode(made)) == made
        if isinstance(made, LayersPlan):
            require_sound(made)
    except FlyteBuildError as error:
        raise AssertionError(f"a plan of ours is refused: {error}") from error
    return made


def image(**changes: object) -> ImageSpec:
    """A spec with a name and a base, and `changes`."""
    return ImageSpec(**({"name": "image", "base": BASE, "python": "3.12"} | changes))  # type: ignore[arg-type]


def write(root: Path, files: dict[str, str], *, executable: tuple[str, ...] = ()) -> Path:
    """Lay `files` (path -> text) below `root`; `folder/` is an empty folder, and the text `-> x` makes a link."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        elif text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755 if name in executable else 0o644)
    return root
