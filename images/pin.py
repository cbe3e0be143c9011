"""`make pin`: the digests that the tags in bases.Dockerfile have now, written into it. `--check` only looks at it.

With `--check` the standard library does (Python 3.10 or newer), so that a release asks before anything is installed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

BASES = Path(__file__).with_name("bases.Dockerfile")
_PLATFORMS = ("linux/amd64", "linux/arm64")
_LINE = re.compile(
    r"^FROM (?P<name>[^\s@]+)(?:@(?P<digest>sha256:[0-9a-f]{64}))?(?P<stage> AS \S+)$", re.MULTILINE | re.IGNORECASE
)


def unpinned(text: str) -> tuple[str, ...]:
    """The images in `text` that are named without a digest."""
    return tuple(found["name"] for found in _LINE.finditer(text) if not found["digest"])


def pinned(text: str, resolve: Callable[[str], str]) -> str:
    """`text` with the digest that `resolve` gives for every image."""
    return _LINE.sub(lambda found: f"FROM {found['name']}@{resolve(found['name'])}{found['stage']}", text)


def resolve_at_registry(platforms: tuple[str, ...]) -> Callable[[str], str]:
    """Asks registries for digests of images that are offered for all of `platforms`. It raises FlyteBuildError."""
    from flyte_build.registry.client import RegistryClient
    from flyte_build.registry.descriptors import Platform
    from flyte_build.registry.names import ImageName

    client, wanted = RegistryClient(), tuple(map(Platform.parse, platforms))
    return lambda name: str(client.resolve(ImageName.parse(name), wanted).reference.digest)


def write(file: Path, platforms: tuple[str, ...]) -> int:
    """Writes all digests or none; says which image is what, and ends with 1 after a sentence about what is wrong."""
    from flyte_build.registry.errors import FlyteBuildError

    before = file.read_text(encoding="utf-8")
    try:
        after = pinned(before, resolve_at_registry(platforms))
    except FlyteBuildError as error:
        print(f"{file} was not changed: {'; '.join(filter(None, (error.sentence, error.hint)))}", file=sys.stderr)
        return 1
    beside = file.with_name(f".{file.name}.new")
    beside.write_text(after, encoding="utf-8")
    beside.replace(file)
    print("".join(f"{found[0]}\n" for found in _LINE.finditer(after)), end="")
    return 0


def check(file: Path) -> int:
    """0 when every image in `file` has a digest."""
    text = file.read_text(encoding="utf-8")
    missing = unpinned(text)
    if missing or not _LINE.search(text):
        what = f"{', '.join(missing)} without a digest" if missing else "no image"
        print(f"{file} names {what}: run `make pin` where the registry answers, and commit it", file=sys.stderr)
        return 1
    return 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, default=BASES)
    parser.add_argument("--check", action="store_true", help="only say whether every image has a digest")
    parser.add_argument("--platform", action="append", help="which every image must be offered for (repeatable)")
    given = parser.parse_args(arguments)
    return check(given.file) if given.check else write(given.file, tuple(given.platform or _PLATFORMS))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
