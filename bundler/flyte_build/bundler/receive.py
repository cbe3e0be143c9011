"""Receiving an archive without trusting it: checked member by member, unpacked beside, renamed when it is whole.

What comes out is described by a manifest of what was really written, so that a bundle is compared with its name.
Links are made last: nothing is ever written through one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from flyte_build.bundler.inflate import Inflater
from flyte_build.bundler.limits import ExtractLimits
from flyte_build.bundler.manifest import Entry, Manifest
from flyte_build.bundler.safe_tar import tarfile
from flyte_build.registry.errors import ArchiveError, InvalidTree
from flyte_build.registry.names import Digest

_CHUNK = 256 * 1024
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)
_REFUSALS = {
    tarfile.AbsoluteLinkError: "a link to an absolute path",
    tarfile.LinkOutsideDestinationError: "a link that leads out of it",
    tarfile.SpecialFileError: "a special file",
}


def extract(
    archive: Path, destination: Path, *, limits: ExtractLimits | None = None, expected: Digest | None = None
) -> Manifest:
    """Unpack the `.tar.gz` at `archive` as the folder `destination` (which must not exist, or be empty).

    Returns the manifest of what was written; with `expected`, its digest must be that. Files get the modes 0644 or
    0755. Raises ArchiveError for anything damaged, hostile or over `limits`; then nothing stays behind.
    """
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
    except OSError as error:
        raise ArchiveError(f"{destination} cannot be made: {error.strerror}") from error
    try:
        manifest = _unpack_file(archive, staging, limits or ExtractLimits())
        if expected is not None and manifest.digest != expected:
            raise ArchiveError(f"the archive holds the bundle {manifest.digest}, and {expected} was expected")
        staging.chmod(0o755)
        staging.rename(destination)
    except OSError as error:
        raise ArchiveError(f"{archive.name} cannot be unpacked as {destination}: {error.strerror}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return manifest


def _unpack_file(archive: Path, staging: Path, limits: ExtractLimits) -> Manifest:
    try:
        with archive.open("rb") as source:
            return _unpack(source, staging, limits)
    except (tarfile.TarError, zlib.error, ValueError, OverflowError, RecursionError) as error:
        raise ArchiveError(f"the archive is damaged or hostile: {str(error)[:200]}") from error
    except InvalidTree as error:
        raise ArchiveError(error.sentence) from error


@dataclass(slots=True, kw_only=True)
class _Staging:
    """What was written so far, below `root`."""

    root: Path
    limits: ExtractLimits
    files: dict[str, Entry] = field(default_factory=dict)
    links: dict[str, Entry] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    members: int = 0


def _unpack(source: BinaryIO, root: Path, limits: ExtractLimits) -> Manifest:
    staging = _Staging(root=root.resolve(), limits=limits)
    stream = Inflater(source, limits)
    with tarfile.open(fileobj=stream, mode="r:", errorlevel=2) as tar:
        while (member := tar.next()) is not None:
            _take(staging, tar, member)
            # tarfile remembers every member for random access, which a long archive makes expensive.
            tar.members.clear()  # type: ignore[attr-defined]  # not in typeshed
        if stream.last != b"\0" * tarfile.BLOCKSIZE:
            raise ArchiveError("the archive is damaged: its tar has no end")
    stream.finish()
    _make_links(staging)
    return Manifest.of([*staging.files.values(), *staging.links.values()])


def _take(staging: _Staging, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    staging.members += 1
    if staging.members > staging.limits.members:
        raise ArchiveError(f"the archive has more than {staging.limits.members} members")
    path = _safe_path(staging, member.name)
    if not path:
        return
    _filter(staging, member, path)
    if member.isdir():
        _make_folder(staging, path)
        return
    if path in staging.files or path in staging.links or path in staging.folders:
        raise ArchiveError(f"the archive has {path!r} twice")
    _make_folder(staging, path.rpartition("/")[0])
    if member.issym():
        staging.links[path] = Entry(path=path, mode="link", link=member.linkname)
    elif member.islnk():
        _write_again(staging, path, _safe_path(staging, member.linkname))
    elif member.type in _PLAIN and not member.issparse():
        _write(staging, path, tar, member)
    else:
        raise ArchiveError(f"the archive has {path!r}, which is neither a file, a folder nor a link")


def _filter(staging: _Staging, member: tarfile.TarInfo, path: str) -> None:
    """The library's own sentences name the folder where the archive is unpacked, and are read by who sent it."""
    try:
        tarfile.data_filter(member, str(staging.root))
    except tarfile.FilterError as error:
        what = _REFUSALS.get(type(error), "which would be written outside of it")
        raise ArchiveError(f"the archive has {path[:80]!r}, {what}") from error


def _safe_path(staging: _Staging, name: str) -> str:
    """`name` without `./` and a trailing slash; empty for the top folder itself."""
    if name.startswith("/") or "\0" in name:
        raise ArchiveError(f"the archive has the absolute name {name[:80]!r}")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ArchiveError(f"the archive has the name {name[:80]!r}, which leads out of it")
    path = "/".join(parts)
    limits = staging.limits
    if len(parts) > limits.folders + 1 or len(path.encode(errors="surrogateescape")) > limits.path_bytes:
        raise ArchiveError(f"the archive has the name {name[:80]!r}…, which is too deep or too long")
    return path


def _make_folder(staging: _Staging, path: str) -> None:
    """`path` and every folder above it; none may be a file or a link of this archive."""
    end = 0
    while path and end != -1:
        end = path.find("/", end + 1)
        folder = path if end == -1 else path[:end]
        if folder in staging.folders:
            continue
        if folder in staging.files or folder in staging.links:
            raise ArchiveError(f"the archive has {folder!r} as a folder and as something else")
        (staging.root / folder).mkdir(mode=0o755)
        staging.folders.add(folder)


def _write(staging: _Staging, path: str, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    content = tar.extractfile(member)
    if content is None:
        raise ArchiveError(f"the archive has {path!r} without content")
    executable = bool((member.mode or 0) & 0o100)
    hasher, size = hashlib.sha256(), 0
    with _created(staging.root / path) as writer:
        while data := content.read(_CHUNK):
            hasher.update(data)
            size += len(data)
            writer.write(data)
        os.fchmod(writer.fileno(), 0o755 if executable else 0o644)
    if size != member.size:
        raise ArchiveError(f"the archive is truncated in {path!r}")
    staging.files[path] = Entry(path=path, mode="0755" if executable else "0644", size=size, sha256=hasher.hexdigest())


def _created(path: Path) -> BinaryIO:
    # Exclusive: a name that the file system takes for another one (case, Unicode) is an error, not a surprise.
    return path.open("xb")


def _write_again(staging: _Staging, path: str, target: str) -> None:
    """A hard link, to an earlier file of this archive only."""
    first = staging.files.get(target)
    if first is None:
        raise ArchiveError(f"the archive has {path!r} as a hard link to {target[:80]!r}, which is no file before it")
    os.link(staging.root / target, staging.root / path, follow_symlinks=False)
    staging.files[path] = Entry(path=path, mode=first.mode, size=first.size, sha256=first.sha256)


def _make_links(staging: _Staging) -> None:
    for path, entry in staging.links.items():
        (staging.root / path).symlink_to(entry.link)
    # Only now can a link that leads out by way of another one be seen.
    for path in staging.links:
        if not Path(os.path.realpath(staging.root / path)).is_relative_to(staging.root):
            raise ArchiveError(f"the archive has the link {path!r}, which leads out of it")
