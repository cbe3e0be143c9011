"""What a project may: where its images go, what they start from, and how much it may ask for."""

from __future__ import annotations

from dataclasses import dataclass

from flyte_build.registry.errors import InvalidInput, ServiceDenied
from flyte_build.registry.names import DOCKER_HUB, Repository
from flyte_build.worker.access.values import Projects

# Registries that anybody can pull from; what a project builds on else has to be allowed.
PUBLIC_BASES = (DOCKER_HUB, "ghcr.io", "quay.io", "mcr.microsoft.com", "public.ecr.aws", "nvcr.io", "registry.k8s.io")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A registry, or a path in it, and everything below: `ghcr.io/acme` holds `ghcr.io/acme/x`, not `ghcr.io/acme2`."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """InvalidInput for what cannot begin a repository's name."""
        stripped = text.rstrip("/")
        try:
            inside = str(Repository.parse(f"{stripped}/x/x"))
        except InvalidInput as error:
            raise InvalidInput(f"{text!r} is not a registry or a path in one", hint="like ghcr.io/acme") from error
        return cls(text=inside.removesuffix("/x/x"))

    def holds(self, repository: Repository) -> bool:
        """Whether the repository is below this place."""
        return str(repository).startswith(f"{self.text}/")

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a project may ask for; 0 is no limit. Sizes in bytes, times in seconds."""

    queued: int = 0
    running: int = 0
    context_bytes: int = 0
    build_seconds: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one project may. `registry` takes images that name none; None where anything may be a target or a base.

    `shared` is the place that all projects push below: what lies there belongs to somebody else, unless it is ours.
    """

    registry: str
    targets: tuple[Place, ...] | None = None
    bases: tuple[Place, ...] | None = None
    shared: Place | None = None
    limits: Limits = Limits()

    def check_target(self, repository: Repository) -> None:
        """ServiceDenied unless the project's images may go there."""
        if self.targets is not None and not any(place.holds(repository) for place in self.targets):
            raise ServiceDenied(
                f"images of this project do not go to {repository}",
                hint=f"they go below {_list(self.targets)}; leave the registry out to use {self.registry}",
            )

    def check_base(self, repository: Repository) -> None:
        """ServiceDenied unless the project may build on what is there: it is read with the service's rights."""
        if self.bases is None or any(place.holds(repository) for place in self.targets or ()):
            return
        if self.shared is not None and self.shared.holds(repository) and not self._named(repository, self.shared):
            raise ServiceDenied(f"{repository} belongs to another project, and this one may not build on it")
        if not any(place.holds(repository) for place in self.bases):
            raise ServiceDenied(
                f"images of this project are not built on {repository}",
                hint=f"bases come from {_list(self.bases)}; whoever runs the service can add to `bases`",
            )

    def check_context(self, size: int) -> None:
        """ServiceDenied for a context of more bytes than the project may send."""
        most = self.limits.context_bytes
        if most and size > most:
            raise self.too_large(f"{size} bytes")

    def too_large(self, size: str) -> ServiceDenied:
        """The refusal of a context of this size."""
        return ServiceDenied(
            f"the files of the image are {size}, and this project may send {self.limits.context_bytes} bytes",
            hint="leave out what the image does not need with a .dockerignore file",
        )

    def _named(self, repository: Repository, shared: Place) -> bool:
        """Whether an entry of the list means this part of the shared place, and not only the registry around it."""
        below = (place for place in self.bases or () if str(place).startswith(f"{shared}/"))
        return any(place.holds(repository) for place in below)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRule:
    """What is said of some projects; `{project}` in a registry stands for the project's name. Empty: the default."""

    projects: Projects
    registries: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The policy of every project. `registry` is the service's own; without `guarded` everything is allowed."""

    registry: str
    rules: tuple[ProjectRule, ...] = ()
    guarded: bool = False

    def of(self, project: str, domain: str) -> Policy:
        """The first rule that names the project, else a place of its own below the service's registry."""
        if not self.guarded:
            return Policy(registry=self.registry)
        found = next((rule for rule in self.rules if rule.projects.has(project, domain)), None)
        rule = found or ProjectRule(projects=Projects(name="*"))
        # A project's name may have capitals, which a repository's may not; lowering would make two projects one.
        named = rule.registries or (f"{self.registry}/{{project}}",)
        targets = tuple(Place.parse(text.replace("{project}", project)) for text in named)
        bases = tuple(Place.parse(text.replace("{project}", project)) for text in rule.bases or PUBLIC_BASES)
        return Policy(
            registry=str(targets[0]),
            targets=targets,
            bases=bases,
            shared=Place.parse(self.registry),
            limits=rule.limits,
        )


def _list(places: tuple[Place, ...]) -> str:
    return ", ".join(map(str, places))
