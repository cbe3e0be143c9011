"""How large a context may be. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flyte_build.builder.trees import FileTree
from flyte_build.registry.errors import Problem

# More than any source tree, less than a data set or a virtual environment that slipped in.
CONTEXT_LIMIT = 1 << 30
_SHOWN = 10


def require_size(trees: Iterable[FileTree], limit: int = CONTEXT_LIMIT) -> Iterator[Problem]:
    """A problem with the ten largest files when all files together have more than `limit` bytes."""
    sizes = {file.sha256: (file.size, file.path) for tree in trees for file in tree.files if file.link is None}
    total = sum(size for size, _ in sizes.values())
    if total > limit:
        largest = sorted(sizes.values(), key=lambda one: (-one[0], one[1]))[:_SHOWN]
        listed = "".join(f"\n      {size:>14,}  {path}" for size, path in largest)
        yield Problem(
            "",
            f"its files have {total:,} bytes, and {limit:,} is the most; leave out what is not needed by `ignore`"
            f" or a dockerignore. The largest:{listed}",
        )
