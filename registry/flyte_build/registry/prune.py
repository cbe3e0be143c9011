"""Which images of a repository may go, and taking them away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flyte_build.registry.client import RegistryClient
from flyte_build.registry.inventory import Stored, tagged
from flyte_build.registry.names import Digest, ImageName, ImageReference, Repository
from flyte_build.registry.referrers import Referrers, tags_about

# Somebody may be about to use what was just built: nothing that anybody asks for shortens this.
LEAST_AGE = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What may go: images of ours that are older than `older_than` (never less than 24 h) and not among the newest
    `keep`. `needed` and `needed_tags` are still used by somebody.
    """

    older_than: timedelta = LEAST_AGE
    keep: int = 0
    needed: frozenset[Digest] = frozenset()
    needed_tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """An image, and why it stays; it may go when `why` is empty."""

    image: Stored
    why: str = ""

    @property
    def goes(self) -> bool:
        """Whether it may be removed."""
        return not self.why


def choose(images: Sequence[Stored], rule: Rule, now: datetime) -> tuple[Verdict, ...]:
    """One verdict for each image, in their order. Pure."""
    ours = sorted((one for one in images if one.spec_digest and one.created), key=_age, reverse=True)
    newest = {one.reference.digest for one in ours[: max(0, rule.keep)]}
    verdicts = [Verdict(image=one, why=_why_it_stays(one, rule, now, newest)) for one in images]
    kept = {part for one in verdicts if not one.goes for part in one.image.parts}
    return tuple(
        Verdict(image=one.image, why="a part of another image that stays")
        if one.goes and one.image.reference.digest in kept
        else one
        for one in verdicts
    )


def remove(client: RegistryClient, repository: Repository, verdicts: Sequence[Verdict]) -> Iterator[Stored]:
    """Takes away what may go, and says each when it is gone; `verdicts` are about everything in the repository.

    The image goes first, and its tags with it, so that no tag ever names something incomplete; then its parts, then
    what was attached to it. An image that was given another tag in between stays. Raises RegistryDenied for a
    registry that does not delete.
    """
    going = [one.image for one in verdicts if one.goes]
    staying = {part for one in verdicts if not one.goes for part in (one.image.reference.digest, *one.image.parts)}
    tags = tagged(client, repository) if going else {}
    for image in going:
        if any(tag not in image.tags for tag, now in tags.items() if now.descriptor.digest == image.reference.digest):
            continue
        gone = [ImageReference(repository, part) for part in image.parts if part not in staying]
        attached = {part: _attached(client, part) for part in gone}
        client.manifests.delete(image.reference)
        for part in gone:
            client.manifests.delete(part)
        attached[image.reference] = tuple(ImageReference(repository, one.digest) for one in image.attached)
        for subject, artifacts in attached.items():
            _remove_attached(client, subject, artifacts)
        yield image


def _attached(client: RegistryClient, subject: ImageReference) -> tuple[ImageReference, ...]:
    found = Referrers(client.api, client.manifests).list(subject)
    return tuple(ImageReference(subject.repository, one.digest) for one in found)


def _remove_attached(client: RegistryClient, subject: ImageReference, artifacts: Sequence[ImageReference]) -> None:
    for artifact in artifacts:
        client.manifests.delete(artifact)
    for tag in tags_about(subject):
        listed = client.manifests.find(ImageName(subject.repository, tag))
        if listed is not None:
            client.manifests.delete(ImageReference(subject.repository, listed.descriptor.digest))


def _why_it_stays(image: Stored, rule: Rule, now: datetime, newest: set[Digest]) -> str:
    """Empty when it may go. The first reason that holds is the one that is shown."""
    foreign = [tag for tag in image.tags if tag != image.own_tag]
    reasons = (
        (image.spec_digest is None, "not built by flyte-build"),
        (bool(foreign), f"tagged {', '.join(foreign[:3])}"),
        (image.reference.digest in rule.needed or bool(rule.needed_tags & set(image.tags)), "still needed"),
        (bool(rule.needed & set(image.parts)), "still needed"),
        (bool(image.unlisted), "what is attached to it cannot be read"),
        (image.created is None, "its age is not known"),
        (image.created is not None and now - image.created < LEAST_AGE, "younger than 24 h"),
        (image.created is not None and now - image.created < rule.older_than, "younger than asked"),
        (image.reference.digest in newest, f"among the newest {rule.keep}"),
    )
    return next((why for holds, why in reasons if holds), "")


def _age(image: Stored) -> tuple[float, str]:
    return (image.created.timestamp() if image.created else 0.0, str(image.reference))
