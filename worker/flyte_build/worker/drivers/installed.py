"""What is really installed in an image that was just pushed; and in one that has a list attached.

The engine is asked once for the same layers: two images that differ only in files copied at their end (a changed
source file) have the same packages, so the answer is kept on this machine, named by those layers.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from flyte_build.builder.canonical import digest_of
from flyte_build.builder.engine import BuildOptions, step
from flyte_build.builder.installed import VERSION, Installed, format_installed, parse_installed
from flyte_build.builder.plan import BuildPlan, CopyFiles, LayersPlan
from flyte_build.builder.spec import Env, User, Workdir
from flyte_build.builder.uv import cache_folder
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.documents import Manifest, decode_config
from flyte_build.registry.errors import FlyteBuildError, InvalidInput, RegistryProtocol
from flyte_build.registry.names import Digest, ImageName, ImageReference

if TYPE_CHECKING:
    from flyte_build.registry.inventory import Stored

_MOST_KEPT = 500
_TITLE = "listing what is installed"


class Surveyor(Protocol):
    """Whoever can look into an image: an engine."""

    def installed(
        self, image: ImageReference, platforms: tuple[Platform, ...], options: BuildOptions
    ) -> tuple[Installed, ...]:
        """What is installed, for each of the platforms; EngineError when that cannot be seen."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layers:
    kind: ClassVar[str] = "layers"
    version: int
    layers: tuple[Digest, ...]


def list_installed(
    surveyor: Surveyor, registry: RegistryClient, image: ImageReference, job: tuple[BuildPlan, BuildOptions]
) -> tuple[Installed, ...]:
    """What is installed in the image of a plan, from memory where its layers are known.

    Raises EngineError, or RegistryError when the image cannot be read.
    """
    plan, options = job
    named = {platform: _kept(layers) for platform, layers in _layers(registry, image, _copies(plan)).items()}
    known = {platform: found for platform, place in named.items() if (found := _recall(place, platform)) is not None}
    wanted = options.only or plan.platforms
    unknown = tuple(platform for platform in wanted if platform not in known)
    if unknown:
        with step(options.progress, _TITLE):
            seen = surveyor.installed(image, unknown, options)
        for one in seen:
            known[one.platform] = one
            if one.platform in named:
                _remember(named[one.platform], one)
    return tuple(known[platform] for platform in wanted)


def _copies(plan: BuildPlan) -> int:
    """How many layers at the end only carry files of the user's; 0 where that is not known."""
    count = 0
    for layer in reversed(plan.layers if isinstance(plan, LayersPlan) else ()):
        if not isinstance(layer, (CopyFiles, Env, Workdir, User)):
            return count
        count += isinstance(layer, (CopyFiles, Workdir))
    return count


def _layers(registry: RegistryClient, image: ImageReference, copies: int) -> dict[Platform, tuple[Digest, ...]]:
    """The layers of each platform's image, without at most `copies` at the end."""
    top = registry.manifest(image)
    below = [registry.manifest(ImageReference(image.repository, one.digest)) for one in top.manifests]
    found = {}
    for manifest in below if top.is_index else [top]:
        if manifest.config is None:
            continue
        body = registry.blob(image.repository, manifest.config)
        platform = decode_config(body, f"the configuration of {image}").platform
        found[platform] = _trimmed(manifest, body, copies)
    return found


def _trimmed(manifest: Manifest, config: bytes, copies: int) -> tuple[Digest, ...]:
    layers = [layer.digest for layer in manifest.layers]
    for entry in reversed(json.loads(config).get("history") or ()):
        if entry.get("empty_layer"):
            continue
        if not copies or not str(entry.get("created_by", "")).startswith(("COPY ", "WORKDIR ")) or len(layers) < 2:
            break
        layers.pop()
        copies -= 1
    return tuple(layers)


def _kept(layers: tuple[Digest, ...]) -> Path:
    return cache_folder() / "installed" / f"{digest_of(_Layers(version=VERSION, layers=layers)).hex}.json"


def _recall(place: Path, platform: Platform) -> Installed | None:
    try:
        (found,) = parse_installed(place.read_bytes())
    except (OSError, ValueError, InvalidInput):
        return None
    return replace(found, platform=platform)


def _remember(place: Path, one: Installed) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as writer:
            writer.write(format_installed([one]))
        Path(writer.name).replace(place)
        kept = sorted(place.parent.iterdir(), key=lambda file: file.stat().st_mtime)
        for old in kept[:-_MOST_KEPT]:
            old.unlink(missing_ok=True)
    except OSError:
        return  # it is asked again


def read_installed(registry: RegistryClient, stored: Stored) -> tuple[Installed, ...]:
    """The list that is attached to an image; empty when none is. Raises RegistryError for what is no such list."""
    from flyte_build.registry.artifacts import INSTALLED_TYPE, fetch_artifact

    # With the same image built twice there may be two: they are equal.
    entry = next((one for one in stored.attached if one.artifact_type == INSTALLED_TYPE), None)
    if entry is None:
        return ()
    name = ImageName(stored.reference.repository, digest=entry.digest)
    with tempfile.TemporaryDirectory(prefix="flyte-build-installed-") as folder:
        files = fetch_artifact(registry, name, Path(folder), INSTALLED_TYPE)
        try:
            return parse_installed(files[0].read_bytes())
        except (FlyteBuildError, IndexError) as error:
            raise RegistryProtocol(f"what is attached to {stored.reference} is no list of packages") from error
