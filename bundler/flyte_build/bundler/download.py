"""An archive from elsewhere, into a file: bounded, and verified while it streams.

From a signed URL, or from a file of this machine. Registries and stores have clients of their own and give a file.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from flyte_build.bundler.limits import MIB
from flyte_build.bundler.wire import Patience, pool_of
from flyte_build.registry.errors import ArchiveError, RegistryUnavailable
from flyte_build.registry.names import Digest
from flyte_build.registry.translate import translated

_CHUNK = 256 * 1024
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class _Again(Exception):
    """What may go better the next time."""


def download(
    url: str,
    destination: Path,
    *,
    limit: int,
    expected: Digest | None = None,
    patience: Patience | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Make the new file `destination` of at most `limit` bytes out of `url` (http, https, file, or a path).

    Raises ArchiveError when it is not to be had, is larger, ends early, or has another sha256 than `expected`. The
    URL may be signed: no more of it than its origin is ever shown. What was written of a failure is for the caller to
    remove.
    """
    patience = patience or Patience()
    pause = patience.pause
    for left in range(patience.retries, -1, -1):
        try:
            with _opened(url, patience) as (name, pieces):
                _write(name, pieces, destination, limit, expected)
                break
        except _Again as error:
            if not left:
                raise ArchiveError(str(error)) from error
        sleep(pause)
        pause *= 2


def _write(name: str, pieces: Iterator[bytes], destination: Path, limit: int, expected: Digest | None) -> None:
    hasher, size = hashlib.sha256(), 0
    try:
        with destination.open("wb") as file:
            for piece in pieces:
                size += len(piece)
                if size > limit:
                    raise ArchiveError(f"the archive from {name} is larger than {limit / MIB:.0f} MiB")
                hasher.update(piece)
                file.write(piece)
    except OSError as error:
        raise ArchiveError(f"the archive from {name} cannot be kept: {error.strerror}") from error
    if expected is not None and hasher.hexdigest() != expected.hex:
        raise ArchiveError(f"the archive from {name} has the sha256 {hasher.hexdigest()}, and {expected} was expected")


@contextmanager
def _opened(url: str, patience: Patience) -> Iterator[tuple[str, Iterator[bytes]]]:
    """What may be shown of `url`, and its content."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        with _answered(url, origin, patience) as pieces:
            yield origin, pieces
        return
    path = Path(unquote(parts.path)) if parts.scheme == "file" else Path(url)
    try:
        file = path.open("rb")
    except OSError as error:
        raise ArchiveError(f"the archive {path} cannot be read: {error.strerror}") from error
    with file:
        yield str(path), iter(lambda: file.read(_CHUNK), b"")


@contextmanager
def _answered(url: str, origin: str, patience: Patience) -> Iterator[Iterator[bytes]]:
    timeout = urllib3.Timeout(connect=patience.connect, read=patience.answer)
    with pool_of(url) as pool:
        try:
            raw = pool.request(
                "GET",
                url,
                headers={"accept-encoding": "identity"},
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except (HTTPError, OSError) as error:
            raise _failed(error, origin) from error
        try:
            if raw.status in _AGAIN:
                raise _Again(f"{origin} answered {raw.status} for the archive")
            if raw.status != 200:
                raise ArchiveError(
                    f"{origin} answered {raw.status} for the archive",
                    hint="ask for a new link: it may have expired" if raw.status in (400, 401, 403) else "",
                )
            yield _pieces(raw, origin)
        finally:
            raw.close()


def _pieces(raw: urllib3.BaseHTTPResponse, origin: str) -> Iterator[bytes]:
    try:
        yield from raw.stream(_CHUNK, decode_content=False)
    except (HTTPError, OSError) as error:
        raise _failed(error, origin) from error


def _failed(error: Exception, origin: str) -> Exception:
    said = translated(error, origin)
    return _Again(said.sentence) if isinstance(said, RegistryUnavailable) else ArchiveError(said.sentence)
