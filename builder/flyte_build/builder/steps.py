"""Steps of a Dockerfile: how one is written, what every `RUN` mounts. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from flyte_build.builder.layers import SecretMount
from flyte_build.builder.quoting import exec_form
from flyte_build.registry.names import Digest

MOUNT = "/run/flyte-build"
VENV = "/opt/venv"

# Machine facts that a step may need and an image must never hold. Rendered on every machine alike; an absent one
# is simply not mounted. Readable by every user of a step: it may not run as root.
MACHINE_SECRETS = {"ca": "ca.pem", "index": "index.sh", "netrc": "netrc"}
_TITLE = 200


def machine_secret(name: str) -> str:
    """The id under which a machine fact (`ca`, `index`, `netrc`) is handed to BuildKit."""
    return f"flyte-build-{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An instruction, and what to call it (one line) when it runs or fails. `runs` is false for mere metadata."""

    instruction: str
    title: str
    runs: bool = True


class Caches:
    """Mounts of caches. Another tenant's, and for apt another base's, must never be taken for ours."""

    def __init__(self, tenant: str, base: Digest) -> None:
        self._prefix = f"{hashlib.sha256(tenant.encode()).hexdigest()[:16]}-" if tenant else ""
        self.uv = self._mount("uv", f"{MOUNT}/uv-cache", "shared")
        self.poetry = self._mount("poetry", f"{MOUNT}/poetry-cache", "locked")
        self.pixi = self._mount("pixi", f"{MOUNT}/pixi-cache", "locked")
        apt = f"apt-{base.hex[:16]}"
        self.apt = (
            self._mount(f"{apt}-archives", "/var/cache/apt", "locked"),
            self._mount(f"{apt}-lists", "/var/lib/apt/lists", "locked"),
        )

    def _mount(self, name: str, target: str, sharing: str) -> str:
        return f"--mount=type=cache,id={self._prefix}{name},target={target},sharing={sharing}"


def run(command: str, *, title: str, mounts: tuple[str, ...] = ()) -> Step:
    """A `RUN` of a shell command, with the recipe and the machine's facts mounted."""
    machine = tuple(
        f"--mount=type=secret,id={machine_secret(name)},target={MOUNT}/{file},mode=0444"
        for name, file in MACHINE_SECRETS.items()
    )
    recipe = f"--mount=type=bind,from=recipe,target={MOUNT}/recipe"
    flags = " \\\n    ".join((recipe, *machine, *mounts))
    argv = exec_form("/bin/sh", "-c", f". {MOUNT}/recipe/env.sh\n{command}")
    return Step(instruction=f"RUN {flags} \\\n    {argv}", title=one_line(title))


def one_line(text: str) -> str:
    """A title of printable characters, cut where it is long."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= _TITLE else f"{line[: _TITLE - 1]}…"


def secret_mounts(secrets: tuple[SecretMount, ...]) -> tuple[str, ...]:
    """Mounts of the person's own secrets; a missing one stops the build."""
    return tuple(
        f"--mount=type=secret,id={secret.name},target=/run/secrets/{secret.name},mode=0444,required"
        for secret in secrets
    )


def exports(secrets: tuple[SecretMount, ...]) -> str:
    """BuildKit 0.13 refuses `env=` on a secret: read the file inside the step."""
    return "".join(
        f'{secret.env}="$(cat /run/secrets/{secret.name})"; export {secret.env}\n' for secret in secrets if secret.env
    )
