"""Answers requests for images that are there at once: no queue, no worker, one question to the registry.

What is believed is the digest that this service pushed (`builds.images`). A spec of the SDK is not planned here: it is
the very request that was answered before, as long as the recipe is the same and its bases' names still mean the same.
Whatever is not so, or cannot be asked within seconds, is a build like any other: its worker looks more closely.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from flyte_build.builder.recipe import RECIPE
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.errors import FlyteBuildError
from flyte_build.registry.names import Digest, ImageName, ImageReference
from flyte_build.registry.options import options_of
from flyte_build.registry.referrers import signature_tag
from flyte_build.worker.access.targets import repository_of
from flyte_build.worker.builds.images import answer_of, answer_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from flyte_build.worker.access.policy import Policy
    from flyte_build.worker.builds.images import Answer
    from flyte_build.worker.builds.values import NewBuild
    from flyte_build.worker.database.engine import Database
    from flyte_build.worker.endpoint.plan_request import AskedPlan

# More bases than a spec has are not asked for here.
_MOST = 8
_AWAY_SECONDS = 10.0


def impatient_client() -> RegistryClient:
    """A client for questions that somebody waits for: it gives up in seconds, and asks once."""
    options = replace(options_of(os.environ), attempts=1, connect_timeout=2.0, read_timeout=3.0)
    return RegistryClient(options=replace(options, answer_timeout=4.0, token_timeout=3.0))


class Existing:
    """Looks for what was built before. A registry that did not answer is left alone for a while: others would wait."""

    def __init__(
        self, database: Database, registry: RegistryClient, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._registry = registry
        self._clock = clock
        self._away_until = 0.0

    def of_spec(self, new: NewBuild, policy: Policy) -> Answer | None:
        """What answers this request of an SDK without a build; None where that is not sure."""
        if new.force:
            return None
        answer = answer_to(self._database, new)
        if answer is None or answer.resolved is None or answer.resolved.recipe != RECIPE:
            return None
        bases = [(ImageName.parse(name), digest) for name, digest in answer.resolved.digests]
        image = ImageName.parse(answer.reference)
        if len(bases) > _MOST or image.repository != repository_of(new.target, policy):
            return None
        try:
            for name, _ in bases:
                policy.check_base(name.repository)
        except FlyteBuildError:
            return None
        # What is named by its digest cannot have moved.
        moving = [(name, digest) for name, digest in bases if name.digest is None]
        return answer if self._all_there([*_what(answer), *moving]) else None

    def of_plan(self, asked: AskedPlan, sha256: str, policy: Policy) -> Answer | None:
        """The same for a plan with this digest (hex) whose bases have been allowed. Tags are for a worker to give."""
        if asked.force or asked.tags:
            return None
        key = f"{repository_of(asked.target, policy)}@sha256:{sha256}"
        answer = answer_of(self._database, asked.project, asked.domain, key)
        return answer if answer is not None and self._all_there(_what(answer)) else None

    def _all_there(self, wanted: list[tuple[ImageName, str | None]]) -> bool:
        if self._clock() < self._away_until:
            return False
        try:
            with ThreadPoolExecutor(len(wanted)) as pool:
                return all(pool.map(self._is, *zip(*wanted, strict=True)))
        except FlyteBuildError as error:
            if error.transient:
                self._away_until = self._clock() + _AWAY_SECONDS
            return False

    def _is(self, name: ImageName, digest: str | None) -> bool:
        found = self._registry.manifests.find(name)
        return found is not None and (digest is None or found.descriptor.digest == Digest.parse(digest))


def _what(answer: Answer) -> list[tuple[ImageName, str | None]]:
    """What must be in the registry, with its digest where that is known: the image, and its signature."""
    image = ImageReference.parse(answer.reference)
    signatures = [(ImageName(image.repository, signature_tag(image)), None)] if answer.signed else []
    return [(ImageName(image.repository, digest=image.digest), str(image.digest)), *signatures]
