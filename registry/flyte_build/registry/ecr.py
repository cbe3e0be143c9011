"""Repositories of ECR, which wants each to be made before it is pushed to (AWS, "Amazon ECR API Reference")."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from flyte_build.registry.clouds.aws import call, client
from flyte_build.registry.clouds.hosts import ECR_HOST, ECR_PUBLIC
from flyte_build.registry.errors import InvalidInput, RegistryDenied
from flyte_build.registry.names import Registry, Repository


def is_ecr(registry: Registry) -> bool:
    """Whether repositories of this registry have to be made."""
    return ECR_HOST.fullmatch(registry.host) is not None or registry.host in ECR_PUBLIC


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRepository:
    """How a repository is made. `tags` are AWS's (name, value). `untagged_days`: after so many days ECR removes
    what no tag names any more; None leaves everything.
    """

    tags: Mapping[str, str] = field(default_factory=dict)
    untagged_days: int | None = None

    def lifecycle(self) -> str:
        """ECR's lifecycle policy as JSON text, empty for none."""
        if self.untagged_days is None:
            return ""
        selection = {
            "tagStatus": "untagged",
            "countType": "sinceImagePushed",
            "countUnit": "days",
            "countNumber": self.untagged_days,
        }
        rule = {
            "rulePriority": 1,
            "description": "flyte-build: what no tag names any more",
            "selection": selection,
            "action": {"type": "expire"},
        }
        return json.dumps({"rules": [rule]}, sort_keys=True)


def ensure_repository(repository: Repository, new: NewRepository) -> bool:
    """Makes the repository; False when it was there, and then nothing of it is changed.

    Raises InvalidInput for a registry that is not ECR or without an identity at AWS, RegistryDenied where AWS
    refuses, RegistryUnavailable where it does not answer. A repository whose lifecycle policy was refused stays.
    """
    registry = repository.registry
    if not is_ecr(registry):
        raise InvalidInput(
            f"{registry} is not ECR: repositories are only created there",
            hint="leave out --create-repository; most registries create a repository with the first push",
        )
    ecr = client(registry)
    if ecr is None:
        raise RegistryDenied(
            f"cannot create {repository}: this machine has no identity at AWS",
            hint="set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    # The alias of a public registry is part of the path, and AWS adds it.
    is_public = registry.host in ECR_PUBLIC
    name = repository.path.partition("/")[2] if is_public else repository.path
    tags = [{"Key": key, "Value": value} for key, value in sorted(new.tags.items())]
    made = call(
        registry,
        ecr,
        "create_repository",
        {"repositoryName": name, **({"tags": tags} if tags else {}), **_account(registry)},
        instead={"RepositoryAlreadyExistsException": {}},
    )
    policy = new.lifecycle()
    if made and policy and not is_public:
        wanted = {"repositoryName": name, "lifecyclePolicyText": policy, **_account(registry)}
        call(registry, ecr, "put_lifecycle_policy", wanted)
    return bool(made)


def _account(registry: Registry) -> dict[str, str]:
    host = ECR_HOST.fullmatch(registry.host)
    return {"registryId": host["account"]} if host else {}
