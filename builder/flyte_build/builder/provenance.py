"""Where an image comes from: SLSA provenance v1 (slsa.dev/spec/v1.0/provenance) as an in-toto statement v1. Pure.

It holds what was asked and what went in, by digest: no text of a step, no value, no path of a machine, no secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flyte_build.builder.loose import Json, format_json, table, tables
from flyte_build.builder.plan import BuildPlan
from flyte_build.builder.sbom import image_purl
from flyte_build.builder.trees import FileTree
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.names import ImageReference, Target
from flyte_build.registry.redact import bare_url

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
_HOME = "https://github.com/flyte-build/flyte-build"
BUILD_TYPE = f"{_HOME}/blob/main/docs/explanation/provenance.md#image-v1"
BUILDER_CLI, BUILDER_SERVICE = f"{_HOME}#cli", f"{_HOME}#service"
# Above this the digest of their tree stands for the files: the plan lists them, and the statement stays small.
_MOST_FILES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The commit that was built, where that is known: the URL of a repository, and the digest of its commit."""

    url: str
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One execution of a plan: by whom (a URI), from when to when (RFC 3339), and what it is called there.

    `version` is flyte-build's. `started` and `name` may be empty.
    """

    builder: str
    version: str
    started: str
    finished: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What went in: the plan, where it goes, the images that it is laid on (the base first), the commit."""

    plan: BuildPlan
    target: Target
    images: tuple[ImageReference, ...]
    source: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement as it is read: the sha256 (hex) of its subjects, what is said, and that."""

    subjects: frozenset[str]
    predicate_type: str
    predicate: Json

    @property
    def asked(self) -> Json:
        """What was asked of the builder (`externalParameters`)."""
        return table(table(self.predicate.get("buildDefinition")).get("externalParameters"))

    @property
    def build_type(self) -> str:
        """By which rules the rest is to be read."""
        return str(table(self.predicate.get("buildDefinition")).get("buildType", ""))

    @property
    def builder(self) -> str:
        """Who says that it built this."""
        return str(table(table(self.predicate.get("runDetails")).get("builder")).get("id", ""))

    @property
    def materials(self) -> frozenset[str]:
        """The sha256 (hex) of everything that went in."""
        found = table(self.predicate.get("buildDefinition")).get("resolvedDependencies")
        return frozenset(str(table(one.get("digest")).get("sha256", "")) for one in tables(found))


def predicate_of(inputs: Inputs, execution: Execution) -> Json:
    """What is said of an image: how it was built, and by whom."""
    plan = inputs.plan
    asked: Json = {
        "specDigest": str(plan.spec_digest),
        "target": str(inputs.target.repository),
        "platforms": [str(platform) for platform in plan.platforms],
        "recipe": plan.recipe,
    }
    when = {"invocationId": execution.name, "startedOn": execution.started, "finishedOn": execution.finished}
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": asked,
            "resolvedDependencies": list(_materials(inputs)),
        },
        "runDetails": {
            "builder": {"id": execution.builder, "version": {"flyte-build": execution.version}},
            "metadata": {name: value for name, value in when.items() if value},
        },
    }


def statement_of(subjects: Sequence[ImageReference], predicate: Mapping[str, object]) -> bytes:
    """The statement that this is true of all these manifests."""
    about = [{"name": str(one.repository), "digest": {one.digest.algorithm: one.digest.hex}} for one in subjects]
    document = {"_type": STATEMENT_TYPE, "subject": about, "predicateType": PREDICATE_TYPE, "predicate": predicate}
    return format_json(document)


def read_statement(content: bytes | str) -> Statement:
    """Any in-toto statement, v0.1 (which cosign writes) or v1; InvalidInput for anything else."""
    try:
        document = json.loads(content)
    except ValueError as error:
        raise InvalidInput("this is no in-toto statement: it is not JSON") from error
    document = table(document)
    subjects = [str(table(one.get("digest")).get("sha256", "")) for one in tables(document.get("subject"))]
    if not str(document.get("_type", "")).startswith("https://in-toto.io/Statement/") or not any(subjects):
        raise InvalidInput("this is no in-toto statement about anything")
    return Statement(
        subjects=frozenset(filter(None, subjects)),
        predicate_type=str(document.get("predicateType", "")),
        predicate=table(document.get("predicate")),
    )


def _materials(inputs: Inputs) -> Iterator[Json]:
    if inputs.source is not None:
        yield {"uri": f"git+{bare_url(inputs.source.url)}", "digest": {"gitCommit": inputs.source.revision}}
    for image in dict.fromkeys(inputs.images):
        yield {"uri": image_purl(image), "digest": {image.digest.algorithm: image.digest.hex}}
    yield from _files(inputs.plan.trees())


def _files(trees: Iterable[FileTree]) -> Iterator[Json]:
    unique = tuple({tree.digest: tree for tree in trees}.values())
    if sum(len(tree.files) for tree in unique) > _MOST_FILES:
        for tree in unique:
            said = {"files": str(len(tree.files)), "encoding": "canonical, as in the plan"}
            yield {"name": "files", "digest": {tree.digest.algorithm: tree.digest.hex}, "annotations": said}
        return
    named = {(file.path, file.sha256) for tree in unique for file in tree.files if file.sha256}
    for path, sha256 in sorted(named):
        yield {"name": path, "digest": {"sha256": sha256}}
