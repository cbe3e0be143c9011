"""What `flyte-build images inspect` says of the packages in an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

from flyte_build.builder.installed import Installed

_WORDS = {"deb": "Debian packages", "pypi": "Python packages", "conda": "conda packages"}


def lines(images: tuple[Installed, ...], *, every: bool) -> Iterator[str]:
    """A line for each platform, and below it Python's and conda's packages; with `every` Debian's too."""
    for one in images:
        counts = Counter(package.kind for package in one.packages)
        said = ", ".join(f"{number} {_WORDS.get(kind, kind)}" for kind, number in sorted(counts.items()))
        where = f"{one.platform} ({one.distribution})" if one.distribution else str(one.platform)
        yield f"  installed  {where}: {said or 'nothing known'}"
        for package in one.packages:
            if every or package.kind != "deb":
                yield f"    {package.kind:<6} {package.name} {package.version}  {package.place}".rstrip()


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
