"""Every error that flyte-build raises on purpose.

    FlyteBuildError
    ├── InvalidInput            what was asked cannot be meant: a name, a spec, a setting, a flag
    │   ├── InvalidName         an image name, tag, digest or platform
    │   ├── InvalidSpec         an image spec; carries every problem found, each with its dotted path
    │   ├── MissingSecret       a build secret that is nowhere to be had
    │   ├── Unsaid              what the wire's message of an image has no words for
    │   ├── UnknownRecipe       a plan by rules that this release does not know
    │   └── InvalidTree         a source tree that cannot be bundled
    ├── RegistryError           a registry was asked and the answer is no, or no answer
    │   ├── RegistryDenied      it knows us and refuses, or wants to know who we are
    │   ├── RegistryMissing     there is no such image, blob or repository
    │   ├── RegistryConflict    a name that is taken by something else
    │   ├── RegistryUnavailable it is down, unreachable, slow or overloaded (transient)
    │   ├── RegistryProtocol    it answered something that is not OCI
    │   └── RegistryUntrusted   its certificate, or a place that it sends us to, cannot be trusted
    ├── EngineError             the engine that executes a plan
    │   ├── EngineMissing       there is no engine to be had, or it lacks what the plan needs
    │   │   └── EngineAway      it does not answer, or went away during the build (transient)
    │   ├── BuildFailed         a step of the plan failed; carries the step and its last lines
    │   └── BuildCancelled      somebody stopped it
    ├── PackageIndexError       a package index did not give what the recipe needs
    ├── SigningError            an image could not be signed, or nobody can say whether it is
    │   └── SigningMissing      the program that signs is not there
    ├── UploadError             a signed upload did not go through
    ├── ArchiveError            an archive that is damaged, hostile or not what its name says
    └── ServiceError            the endpoint, its database, its queue or its store
        ├── ServiceUnavailable  it cannot be reached, or cannot serve now (transient)
        ├── CallRefused         it said no to a call; carries its code
        ├── ServiceConflict     there is something else under this name already
        ├── ServiceTooLarge     an object has more bytes than are taken
        ├── ServiceQuota        it will not do this now: the project has used up what it may
        └── ServiceDenied       it will not do this for this caller
            └── ServiceStranger it does not know who the caller is

An error is one sentence for the person who reads it: what was done, to what, why it failed. `hint` is what to
change. `transient` says whether the same call may succeed later; wrappers that retry ask nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class FlyteBuildError(Exception):
    """The root. `str(error)` is the sentence, `hint` what the reader can change, or empty."""

    transient: ClassVar[bool] = False

    def __init__(self, sentence: str, *, hint: str = "") -> None:
        super().__init__(sentence)
        self.hint = hint

    @property
    def sentence(self) -> str:
        """What happened, to what and why, in one sentence."""
        return str(self.args[0])


class InvalidInput(FlyteBuildError):
    """What was asked cannot be meant."""


class InvalidName(InvalidInput):
    """Not a name, tag, digest or platform (OCI distribution-spec, "Pulling manifests")."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document: where (dotted path, empty for the whole), and what."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class InvalidSpec(InvalidInput):
    """An image spec with everything that is wrong with it; `problems` is never empty."""

    def __init__(self, source: str, problems: tuple[Problem, ...], *, hint: str = "") -> None:
        self.source = source
        self.problems = problems
        if len(problems) == 1:
            sentence = f"{source}: {problems[0]}"
        else:
            sentence = f"{source} has {len(problems)} problems:" + "".join(f"\n  - {p}" for p in problems)
        super().__init__(sentence, hint=hint)


class InvalidTree(InvalidInput):
    """A source tree that cannot be bundled."""


class RegistryError(FlyteBuildError):
    """A registry was asked and did not do it."""


class RegistryDenied(RegistryError):
    """401 or 403: credentials are missing, wrong or not enough."""


class RegistryMissing(RegistryError):
    """404: no such image, blob or repository."""


class RegistryConflict(RegistryError):
    """A name that is taken by something else."""


class RegistryUnavailable(RegistryError):
    """No answer, or an answer that says later."""

    transient = True


class RegistryProtocol(RegistryError):
    """An answer that is not what the OCI distribution-spec says."""


class RegistryUntrusted(RegistryError):
    """A certificate, a redirect or a token service that must not be followed."""


class EngineError(FlyteBuildError):
    """The engine that executes a plan."""


class EngineMissing(EngineError):
    """No engine to be had, or one that lacks what the plan needs."""


class EngineAway(EngineMissing):
    """The engine does not answer now, or went away while it built."""

    transient = True


class BuildFailed(EngineError):
    """A step of the plan failed.

    `step` is the failing step as the engine names it, `log` its last lines (plain text, escapes stripped), and `shown`
    whether the reader has seen them already.
    """

    shown = False

    def __init__(self, sentence: str, *, step: str = "", log: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(sentence, hint=hint)
        self.step = step
        self.log = log


class BuildCancelled(EngineError):
    """Somebody stopped the build."""


class PackageIndexError(FlyteBuildError):
    """A package index did not give what the recipe needs."""

    transient = True


class SigningError(FlyteBuildError):
    """A signature could not be made or looked at."""


class SigningMissing(SigningError):
    """The program that signs and verifies is not installed."""


class UploadError(FlyteBuildError):
    """A signed upload did not go through."""


class ArchiveError(FlyteBuildError):
    """An archive that is damaged, hostile, or not what its name says."""


class ServiceError(FlyteBuildError):
    """The endpoint, its database, its queue or its store."""


class ServiceUnavailable(ServiceError):
    """The service cannot be reached or cannot serve now."""

    transient = True


class ServiceConflict(ServiceError):
    """There is something else under this name, which will not change."""


class ServiceDenied(ServiceError):
    """The service will not do this for this caller."""


class ServiceTooLarge(ServiceError):
    """An object of the store has more bytes than whoever reads it takes."""


class ServiceQuota(ServiceError):
    """The project has as many builds as it may have."""


class ServiceStranger(ServiceDenied):
    """Whoever asks has not shown who they are, or not so that it can be believed."""
