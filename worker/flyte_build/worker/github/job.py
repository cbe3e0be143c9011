"""The line of `flyte-build ci`: sources -> what exists -> what is built -> rows of the report."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from flyte_build.builder.buildx.builders import container_builder
from flyte_build.builder.buildx.docker import find_engine
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.errors import FlyteBuildError, InvalidInput, RegistryDenied
from flyte_build.registry.inventory import inspect_image
from flyte_build.registry.names import ImageName, ImageReference
from flyte_build.registry.referrers import signature_tag
from flyte_build.worker.github import commands
from flyte_build.worker.github.inputs import Inputs
from flyte_build.worker.github.report import Report
from flyte_build.worker.github.runs import Heard, run_image
from flyte_build.worker.github.summary import Row

BUILDER = "flyte-build-action"
_PASSED_OVER = {"node_modules", "site-packages", "__pycache__"}
Image = dict[str, object]


class Job:
    """One run of the action."""

    def __init__(self, inputs: Inputs, report: Report) -> None:
        self._inputs = inputs
        self._report = report
        self._heard = Heard()

    def run(self) -> None:
        """Raises FlyteBuildError for what failed; the report then holds what was done before it."""
        inputs, report = self._inputs, self._report
        if not inputs.sources:
            inputs = replace(inputs, sources=tuple(found_sources(Path())))
        report.sources = tuple(Path(source) for source in inputs.sources)
        images = self._existing(inputs, report.say)
        report.images, report.rows = images, self._rows(images)
        missing = [str(image["name"]) for image in images if image["status"] == "missing"]
        if inputs.mode == "check":
            for name in missing:
                report.notice(f"the image {name} does not exist yet: it is built after the merge")
            return
        # What exists and is not signed by this key is built again.
        builder = _builder(inputs, images) if missing or "--sign" in inputs.build_arguments else ""
        why = inputs.why and bool(missing) and inputs.mode == "build"
        try:
            images = self._built(inputs.build_argv(why=why, builder=builder))
        except FlyteBuildError:
            with suppress(FlyteBuildError):  # the first error is the one to be told
                images = self._existing(inputs, _nothing)
            report.images = [{**image, "status": self._ended(image)} for image in images]
            report.rows = self._rows(images, failed=True)
            raise
        report.images, report.rows = images, self._rows(images)
        for image in images:
            for note in self._heard.notes[str(image["name"])]:
                report.notice(f"{image['name']}: {note}")

    def _existing(self, inputs: Inputs, heard: Callable[[str], None]) -> list[Image]:
        """What is there, as far as can be told: a service may build for those who may not read its registry."""
        try:
            return run_image(inputs.check_argv(), heard)
        except RegistryDenied:
            if not inputs.endpoint or inputs.mode == "check":
                raise
            return []

    def _built(self, argv: Sequence[str]) -> list[Image]:
        """Between the two words no line of a build is a command to GitHub: a build prints what it likes."""
        stop, go_on = commands.stop_commands()
        self._report.say("::group::flyte-build image")
        self._report.say(stop)
        try:
            return run_image(argv, self._hear)
        finally:
            self._report.say(go_on)
            self._report.say("::endgroup::")

    def _hear(self, line: str) -> None:
        said = self._heard.hear(line)
        if said is not None:
            self._report.say(said)

    def _rows(self, images: Iterable[Image], *, failed: bool = False) -> list[Row]:
        """Images are built in turn: after a failure the first that has not ended is the one that failed."""
        rows = [self._row(image) for image in images]
        culprit = next((row for row in rows if failed and row.name not in self._heard.ended), None)
        return [replace(row, status="failed") if row is culprit else row for row in rows]

    def _ended(self, image: Image) -> str:
        """What was built here exists when it is asked for afterwards."""
        return self._heard.ended.get(str(image["name"])) or str(image["status"])

    def _row(self, image: Image) -> Row:
        name, seconds = str(image["name"]), image["seconds"]
        status = self._ended(image)
        pinned = str(image["pinned"] or "")
        heard = self._heard
        # Steps are told without a name where there is one image only.
        told = name if name in heard.steps else ""
        return Row(
            name=name,
            status=status,
            pinned=pinned,
            size=_size(pinned),
            cached=heard.cached[told] if status == "built" else 0,
            steps=heard.steps[told] if status == "built" else 0,
            seconds=seconds if isinstance(seconds, float) else None,
            signed=_signed(pinned),
            why="\n".join(heard.why[name]),
        )


def _nothing(line: str) -> None:
    """For what was said before."""


def found_sources(folder: Path) -> Iterable[str]:
    """Every `image.toml` below a folder, sorted. Raises InvalidInput when there is none."""
    found: list[str] = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _PASSED_OVER and not name.startswith("."))
        found += [Path(place, name).as_posix() for name in files if name == "image.toml"]
    if not found:
        raise InvalidInput(
            "the repository has no image.toml, and no sources were given",
            hint="give the input `sources`: Python files, image.toml files or Dockerfiles, one a line",
        )
    return sorted(found)


def _size(pinned: str) -> int | None:
    """Compressed bytes in the registry; None where that cannot be told, because the image is fine without."""
    if not pinned:
        return None
    try:
        return inspect_image(RegistryClient(), ImageName.parse(pinned)).size
    except FlyteBuildError:
        return None


def _signed(pinned: str) -> bool | None:
    """Whether the registry has a signature of it, whoever made that; None where that cannot be told."""
    if not pinned:
        return None
    image = ImageReference.parse(pinned)
    try:
        return RegistryClient().manifests.find(ImageName(image.repository, signature_tag(image))) is not None
    except FlyteBuildError:
        return None


def _builder(inputs: Inputs, images: Iterable[Image]) -> str:
    """The name of a builder made for this job, where the engine itself can do less than is asked; else empty."""
    given = inputs.build_arguments
    if "--builder" in given or inputs.endpoint:
        return ""
    platforms = max((len(found) for image in images if isinstance(found := image["platforms"], list)), default=1)
    short = find_engine().falls_short(cache=inputs.cache != "none", platforms=platforms)
    return container_builder(BUILDER) if short else ""
