"""What a job tells: annotations as they come, the summary and the outputs at its end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from flyte_build.registry.errors import BuildFailed, FlyteBuildError
from flyte_build.worker.github import commands
from flyte_build.worker.github.inputs import in_inputs
from flyte_build.worker.github.locate import locate, parts_of, words_of
from flyte_build.worker.github.summary import Failure, Row, summary

_LOG_LINES = 20
_LARGEST = 1024 * 1024


class Report:
    """Collects while the job runs; `write` is called once, also after a failure."""

    def __init__(self, environ: Mapping[str, str], stdout: TextIO) -> None:
        self._environ = environ
        self._stdout = stdout
        self._failure: Failure | None = None
        self.sources: tuple[Path, ...] = ()
        self.images: Sequence[dict[str, object]] = ()
        self.rows: Sequence[Row] = ()
        # The file of the key that an input gave: nobody knows it by that name.
        self.key = ""

    @property
    def is_missing(self) -> bool:
        return any(image["status"] == "missing" for image in self.images)

    def say(self, line: str) -> None:
        """A line of the job's log, as it is."""
        self._stdout.write(f"{line}\n")
        self._stdout.flush()

    def notice(self, text: str) -> None:
        """A remark for the run's page."""
        self.say(commands.annotation("notice", text, title="flyte-build"))

    def failed(self, error: FlyteBuildError) -> None:
        """Annotates the line that the error is about, as far as that can be told."""
        self._failure = Failure(sentence=self._said(error), hint=in_inputs(error.hint), log=_tail(error))
        sources = {str(file): text for file in self._files(error) if (text := _text(file)) is not None}
        for part in parts_of(error):
            place = locate(part, sources)
            hint = f"what to do: {in_inputs(part.hint)}" if part.hint else ""
            message = "\n".join(line for line in (self._said(part), hint, *_tail(part)) if line)
            file = self._relative(place.file) if place else ""
            line = place.line if place else 0
            self.say(commands.annotation("error", message, title="flyte-build", file=file, line=line))

    def _said(self, error: FlyteBuildError) -> str:
        return error.sentence.replace(self.key, "`signing-key`") if self.key else error.sentence

    def _files(self, error: FlyteBuildError) -> Iterator[Path]:
        """The sources, and files beside them that a failed step names, as a list of requirements."""
        yield from self.sources
        words = words_of(error) if isinstance(error, BuildFailed) else ()
        beside = {file for source in self.sources for word in words if (file := source.parent / word).is_file()}
        yield from sorted(beside)

    def _relative(self, file: str) -> str:
        path, workspace = Path(file).resolve(), Path(self._environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
        return path.relative_to(workspace).as_posix() if path.is_relative_to(workspace) else file

    def write(self) -> None:
        """Outputs and summary, to the files that GitHub names."""
        pinned = [str(image["pinned"]) for image in self.images if image["pinned"]]
        outputs = {
            "images": json.dumps({"version": 1, "images": list(self.images)}),
            "references": "\n".join(pinned),
            "reference": pinned[0] if pinned else "",
            "built": _truth(any(image["status"] == "built" for image in self.images)),
            "missing": _truth(self.is_missing),
            "signed": _truth(bool(pinned) and all(row.signed for row in self.rows if row.pinned)),
        }
        text = "".join(commands.output(name, value) for name, value in outputs.items())
        commands.append(self._environ.get("GITHUB_OUTPUT"), text)
        commands.append(self._environ.get("GITHUB_STEP_SUMMARY"), summary(self.rows, self._failure))


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _tail(error: FlyteBuildError) -> tuple[str, ...]:
    return tuple(error.log[-_LOG_LINES:]) if isinstance(error, BuildFailed) else ()


def _text(file: Path) -> str | None:
    """A source's text; None for a module's name, a folder or what is too large to look through."""
    path = file / "image.toml" if file.is_dir() else file
    try:
        return path.read_text(encoding="utf-8") if path.stat().st_size <= _LARGEST else None
    except (OSError, UnicodeDecodeError):
        return None
