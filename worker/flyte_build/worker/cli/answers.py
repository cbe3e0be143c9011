"""What `flyte-build image` says of its images: references or a document on stdout, sentences on stderr."""

from __future__ import annotations

import json

import click

from flyte_build.worker.drivers import image as driver

_WORDS = {"built": "built", "exists": "exists already", "missing": "missing", "planned": "planned"}


def begin(planned: driver.Planned, *, mode: str) -> None:
    """Say which image the progress that follows is about."""
    if mode == "json":
        click.echo(json.dumps({"event": "ImageStarted", "image": planned.spec.name}), err=True)
    elif mode != "quiet":
        click.echo(f"image {planned.spec.name}", err=True)


def failed(name: str, untried: list[str], *, mode: str) -> None:
    """Say which of several images it was, and which were not tried; the error itself follows."""
    if mode == "json":
        for event, image in (("ImageFailed", name), *(("ImageUntried", one) for one in untried)):
            click.echo(json.dumps({"event": event, "image": image}), err=True)
        return
    rest = f"; not tried: {', '.join(untried)}" if untried else ""
    click.echo(f"image {name}: failed{rest}", err=True)


def end(outcome: driver.Outcome, spent: float, *, mode: str, output: str) -> None:
    """Say what became of an image, in how many seconds, and what the user should know although it went well."""
    name, built = outcome.planned.spec.name, outcome.built
    if mode == "json":
        said = {"status": outcome.status, "notes": list(outcome.notes), "seconds": round(spent, 3)}
        pinned = str(built.reference) if built and built.reference else None
        click.echo(json.dumps({"event": "ImageEnded", "image": name, "pinned": pinned, **said}), err=True)
        return
    if mode != "quiet":
        seconds = f" in {spent:.1f}s" if outcome.status == "built" else ""
        kept = {"load": ", loaded into the local engine", "none": ", kept nowhere"}
        # What was only looked for is where it was found, whatever was wanted of a build.
        where = kept.get(output, "") if outcome.status == "built" else ""
        click.echo(f"image {name}: {_WORDS[outcome.status]}{seconds}{where}", err=True)
    for note in outcome.notes:
        click.echo(f"  note: {note}", err=True)


def answer(outcomes: list[driver.Outcome], *, as_json: bool, output: str) -> None:
    """Print the answer: pinned references (names of what is missing or only loaded), or one document."""
    if as_json:
        click.echo(json.dumps({"version": 1, "images": [_document(outcome) for outcome in outcomes]}))
        return
    for outcome in outcomes:
        pinned = outcome.built.reference if outcome.built else None
        if pinned is not None or output != "none":
            click.echo(str(pinned or outcome.planned.target))


def _document(outcome: driver.Outcome) -> dict[str, object]:
    planned, built = outcome.planned, outcome.built
    return {
        "name": planned.spec.name,
        "reference": str(planned.target),
        "digest": str(built.digest) if built and built.digest else None,
        "pinned": str(built.reference) if built and built.reference else None,
        "spec_digest": str(planned.plan.spec_digest),
        "status": outcome.status,
        "platforms": [str(platform) for platform in planned.plan.platforms],
        "engine": built.engine if built else None,
        "seconds": round(built.seconds, 3) if built else None,
    }
