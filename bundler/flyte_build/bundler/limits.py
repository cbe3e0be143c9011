"""How much is too much, as values: what we make, and what we are willing to receive."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleLimits:
    """What may become a bundle. A store that signs uploads commonly stops at 100 MiB.

    `tree_bytes` is checked before anything is read, `archive_bytes` while the archive is written.
    `folders` is the number of folders in a path, `path_bytes` its length.
    """

    archive_bytes: int = 100 * MIB
    tree_bytes: int = 1024 * MIB
    files: int = 200_000
    folders: int = 64
    path_bytes: int = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractLimits:
    """What an archive from elsewhere may cost.

    `archive_bytes` is the compressed size, `unpacked_bytes` the decompressed one with tar's own headers, `members`
    counts files, folders and links. `ratio` (decompressed / compressed) counts once `ratio_floor` bytes came out: a
    small file of zeros is no bomb. `folders` is how many a path may go down, `path_bytes` its length.
    """

    archive_bytes: int = 100 * MIB
    unpacked_bytes: int = 2048 * MIB
    members: int = 250_000
    ratio: int = 200
    ratio_floor: int = 256 * MIB
    folders: int = 64
    path_bytes: int = 1024
