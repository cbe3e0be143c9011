"""BuildKit's build cache beside a worker: how large it is, and made smaller when it is more than it may be."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyte_build.registry.errors import EngineMissing, InvalidInput
from flyte_build.registry.redact import plain

if TYPE_CHECKING:
    from flyte_build.worker.operating.metrics import Metrics

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 600.0
_PATIENCE = 600.0
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*((?:[kmgt]i?)?)b?", re.IGNORECASE)
_TOTAL = re.compile(r"^Total:\s+(\S+)\s*$", re.MULTILINE)


def parse_size(text: str) -> int:
    """Bytes of `20GB`, `512MiB`, `1.5g`; InvalidInput for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(f"{plain(text, 40)!r} is not a size", hint="write it like 20GB or 512MiB")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def du_argv(builder: str | None) -> tuple[str, ...]:
    """Arguments of docker that say how large the cache of a builder is."""
    return ("buildx", "du", *(("--builder", builder) if builder else ()))


def prune_argv(builder: str | None, keep: int, flag: str) -> tuple[str, ...]:
    """Arguments of docker that make the cache no larger than `keep` bytes; `flag` as `keep_flag` finds it."""
    named = ("--builder", builder) if builder else ()
    return ("buildx", "prune", *named, "--force", f"--{flag}={keep}")


def keep_flag(usage: str) -> str:
    """What this Buildx calls the size to keep: `--max-used-space`, which replaced `--keep-storage`."""
    return "max-used-space" if "--max-used-space" in usage else "keep-storage"


def total_of(said: str) -> int:
    """Bytes, of what `buildx du` prints."""
    match = _TOTAL.search(said)
    return parse_size(match[1]) if match else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """The cache of a builder (the default one, if None), of at most `keep` bytes (None: as large as it likes)."""

    builder: str | None = None
    keep: int | None = None

    def size(self) -> int:
        """Bytes now. EngineMissing when nobody can be asked."""
        return total_of(_docker(du_argv(self.builder)))

    def look(self) -> tuple[int, bool]:
        """How large it is, and whether it was made smaller for it. EngineMissing when nobody can be asked."""
        size = self.size()
        if self.keep is None or size <= self.keep:
            return size, False
        flag = keep_flag(_docker(("buildx", "prune", "--help")))
        _docker(prune_argv(self.builder, self.keep, flag))
        smaller = self.size()
        _log.info("the build cache was %d bytes and is %d", size, smaller)
        return smaller, True


class CacheKeeper:
    """Looks after a cache every ten minutes, in a thread."""

    def __init__(self, cache: Cache, metrics: Metrics, seconds: float = _LOOK_SECONDS) -> None:
        self._cache = cache
        self._metrics = metrics
        self._seconds = seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="cache-keeper", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Does not wait for a pruning that goes on."""
        self._done.set()

    def _keep(self) -> None:
        while not self._done.is_set():
            try:
                size, pruned = self._cache.look()
                self._metrics.cache(size, pruned=pruned)
            except EngineMissing as error:
                _log.warning("the build cache cannot be looked after: %s", error.sentence)
            self._done.wait(self._seconds)


def _docker(argv: tuple[str, ...]) -> str:
    docker = shutil.which("docker")
    if docker is None:
        raise EngineMissing("there is no docker command", hint="install Docker with Buildx 0.13 or newer")
    try:
        done = subprocess.run(
            (docker, *argv), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineMissing(f"`docker {' '.join(argv[:2])}` gave no answer: {type(error).__name__}") from error
    if done.returncode != 0:
        raise EngineMissing(f"`docker {' '.join(argv[:2])}` failed: {plain(done.stderr)}")
    return done.stdout
