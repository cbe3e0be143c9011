"""Reading what is attached to a manifest. Whoever may push can write that: it is believed no further than it fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from flyte_build.registry.errors import FlyteBuildError, RegistryProtocol, RegistryUnavailable
from flyte_build.registry.names import ImageReference
from flyte_build.registry.redact import plain
from flyte_build.registry.referrers import Referrers

if TYPE_CHECKING:
    from flyte_build.registry.client import RegistryClient

Said = TypeVar("Said")

# As much as cosign takes.
_LARGEST = 128 << 20
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached(Generic[Said]):
    """What the artifacts of a type say, and why the others are not believed. `unlisted`: why nobody can list them."""

    said: Mapping[ImageReference, Said] = field(default_factory=dict)
    strays: Mapping[ImageReference, str] = field(default_factory=dict)
    unlisted: str = ""

    def doubting(self, why: Callable[[Said], str]) -> Attached[Said]:
        """Without those that `why` says something against."""
        doubts = {reference: said for reference, one in self.said.items() if (said := why(one))}
        believed = {reference: one for reference, one in self.said.items() if reference not in doubts}
        return replace(self, said=believed, strays={**self.strays, **doubts})

    @property
    def wrong(self) -> str:
        """What is wrong in what is attached, each by its digest; empty when nothing is."""
        named = [f"{reference.digest}: {plain(said, 300)}" for reference, said in self.strays.items()]
        more = [f"and {len(named) - _MOST_NAMED} more"] if len(named) > _MOST_NAMED else []
        unlisted = [self.unlisted] if self.unlisted else []
        return "; ".join([*unlisted, *named[:_MOST_NAMED], *more])

    @property
    def hint(self) -> str:
        """What to do about what is wrong."""
        if not self.strays:
            return "find out who may push here"
        commands = ", ".join([f"`oras manifest delete {reference}`" for reference in self.strays][:_MOST_NAMED])
        return f"remove what you did not attach ({commands}), or give --key: then only what is signed counts"

    @property
    def note(self) -> str:
        """The same where what is signed counts, and this not."""
        return f"; attached, unsigned and not believed: {self.wrong}" if self.wrong else ""


def read_attached(
    registry: RegistryClient, subject: ImageReference, artifact_type: str, read: Callable[[bytes], Said]
) -> Attached[Said]:
    """What `read` makes of every artifact of a type that is attached to a manifest, verified by digest.

    What cannot be read is a stray, as is what is listed there and is about something else, or is not one file. Raises
    RegistryUnavailable when nobody answers.
    """
    said: dict[ImageReference, Said] = {}
    strays: dict[ImageReference, str] = {}
    listed = Referrers(registry.api, registry.manifests).read(subject, artifact_type)
    for one in listed.entries:
        reference = ImageReference(subject.repository, one.digest)
        try:
            said[reference] = read(_content(registry, subject, reference))
        except RegistryUnavailable:
            raise
        except FlyteBuildError as error:
            strays[reference] = error.sentence
        except RecursionError:
            strays[reference] = "it is nested too deeply to be read"
    return Attached(said=said, strays=strays, unlisted=listed.unlisted)


def _content(registry: RegistryClient, subject: ImageReference, reference: ImageReference) -> bytes:
    manifest = registry.manifest(reference)
    if manifest.subject is None or manifest.subject.digest != subject.digest:
        raise RegistryProtocol("it is listed here, and is about something else")
    if len(manifest.layers) != 1:
        raise RegistryProtocol("it is not one file")
    return registry.blob(subject.repository, manifest.layers[0], _LARGEST)
