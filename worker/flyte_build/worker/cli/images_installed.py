"""What `flyte-build images inspect` says of the packages in an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

from flyte_build.builder.installed import Installed
from flyte_build.registry.redact import plain
from flyte_build.worker.drivers.attached import Attached

Listings = Attached[tuple[Installed, ...]]

_WORDS = {"deb": "Debian packages", "pypi": "Python packages", "conda": "conda packages"}


def believed(listings: Listings) -> tuple[Installed, ...]:
    """With the same image built twice there may be two lists: they are equal."""
    return next(iter(listings.said.values()), ())


def lines(listings: Listings, *, every: bool) -> Iterator[str]:
    """A line for each platform, and below it Python's and conda's packages; with `every` Debian's too. Then one for
    each list that cannot be read.
    """
    for one in believed(listings):
        counts = Counter(package.kind for package in one.packages)
        said = ", ".join(f"{number} {_WORDS.get(kind, kind)}" for kind, number in sorted(counts.items()))
        where = f"{one.platform} ({one.distribution})" if one.distribution else str(one.platform)
        yield f"  installed  {where}: {said or 'nothing known'}"
        for package in one.packages:
            if every or package.kind != "deb":
                yield f"    {package.kind:<6} {package.name} {package.version}  {package.place}".rstrip()

    for reference, why in listings.strays.items():
        yield f"  installed  {reference.digest} is no list of packages: {plain(why)}"


def document(images: tuple[Installed, ...]) -> list[dict[str, object]]:
    """The same for `--json`: every package, with its purl."""
    return [
        {
            "platform": str(one.platform),
            "distribution": one.distribution,
            "packages": [asdict(package) for package in one.packages],
        }
        for one in images
    ]
