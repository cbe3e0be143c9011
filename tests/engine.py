"""Docker's own client on the engine of the tests, and images run by it."""

from __future__ import annotations

import subprocess

PULLED: set[str] = set()
_TRIES = 4


def docker(*argv: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Docker's own client, on the engine of the tests."""
    return subprocess.run(["docker", *argv], capture_output=True, text=True, timeout=timeout, check=False)


def run_image(reference: str, *argv: str, platform: str = "") -> str:
    """What a command prints in an image (`--network none`); AssertionError when it fails."""
    chosen = ("--platform", platform) if platform else ()
    _pull(reference, chosen)
    done = docker("run", "--rm", "--pull", "never", "--network", "none", *chosen, reference, *argv)
    assert done.returncode == 0, done.stderr
    return done.stdout


def remove_pulled() -> None:
    """Removes every image that was run: at the end, because each removal starts the engine's garbage collection."""
    if PULLED:
        docker("image", "rm", "--force", *PULLED)
        PULLED.clear()


def _pull(reference: str, chosen: tuple[str, ...]) -> None:
    """Pulls it, again where containerd's image store lost content to a collection beside it ("content digest … not
    found": a known race of engines that build, pull and remove at once)."""
    PULLED.add(reference)
    for _ in range(_TRIES):
        done = docker("pull", "--quiet", *chosen, reference)
        if done.returncode == 0 or "content digest" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
