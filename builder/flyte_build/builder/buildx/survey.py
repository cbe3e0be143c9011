"""Looking into an image that was pushed: what is installed, for each platform. The image stays as it is.

A build of its own on top of the image by digest, whose only output is a listing on this machine. The engine has the
image's layers, so nothing is transferred; where an image has no shell, its files are read instead.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path

from flyte_build.builder import process
from flyte_build.builder.buildx.docker_config import private_config
from flyte_build.builder.buildx.held import held_folder
from flyte_build.builder.engine import BuildOptions
from flyte_build.builder.installed import Installed, read_listing
from flyte_build.builder.uv import cache_folder
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import EngineError
from flyte_build.registry.names import ImageReference

_FILES = ("os-release", "dpkg", "python", "conda")
_LISTING = "/flyte-build-installed"
_LARGEST = 64 << 20
_PATIENCE = 300.0


def survey(image: ImageReference, platforms: tuple[Platform, ...], options: BuildOptions) -> tuple[Installed, ...]:
    """What is installed in a pushed image. `options` says where and with which credentials.

    Raises EngineError when neither a step nor its files tell.
    """
    with held_folder(cache_folder() / "builds") as work:
        script = resources.files("flyte_build.builder.buildx") / "installed.sh"
        (work / "installed.sh").write_bytes(script.read_bytes())
        if _solved(_listing(image), f"type=local,dest={work}/out", work, (platforms, options)):
            return tuple(read_listing(one, _read(_of(work / "out", one, platforms))) for one in platforms)
        if not _solved(f"FROM {image}\n", f"type=tar,dest={work}/files.tar", work, (platforms, options)):
            raise EngineError(f"the engine could not look into {image}")
        return tuple(_from_archive(work / "files.tar", one, platforms) for one in platforms)


def _listing(image: ImageReference) -> str:
    """The step has no network and no secret: it runs what the image calls its shell."""
    place = f"{_LISTING}-script/installed.sh"
    flags = f"--network=none --mount=type=bind,source=installed.sh,target={place}"
    run = f'RUN {flags} ["/bin/sh", "{place}", "{_LISTING}"]'
    return f"FROM {image} AS image\nUSER 0:0\n{run}\nFROM scratch\nCOPY --from=image {_LISTING} /\n"


def _solved(dockerfile: str, output: str, work: Path, how: tuple[tuple[Platform, ...], BuildOptions]) -> bool:
    platforms, options = how
    (work / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    argv = [shutil.which("docker") or "docker", "buildx", "build"]
    argv += ["--builder", options.builder] if options.builder else []
    argv += ["--provenance=false", "--sbom=false", "--progress=rawjson"]
    argv += ["--platform", ",".join(map(str, platforms)), "--output", output, str(work)]
    with private_config(options.credentials) as environment:
        code = process.run(
            tuple(argv), lambda _: None, cancelled=options.cancelled, timeout=_PATIENCE, environment=environment
        )
    return code == 0


def _of(folder: Path, platform: Platform, platforms: tuple[Platform, ...]) -> Path:
    """Buildx makes a folder for each platform where there are several."""
    return folder / str(platform).replace("/", "_") if len(platforms) > 1 else folder


def _read(folder: Path) -> dict[str, str]:
    found = {}
    for name in _FILES:
        place = folder / name
        # A link would lead to a file of this machine.
        if place.is_file() and not place.is_symlink():
            with place.open("rb") as reader:
                found[name] = reader.read(_LARGEST).decode(errors="replace")
    return found


def _from_archive(archive: Path, platform: Platform, platforms: tuple[Platform, ...]) -> Installed:
    prefix = f"{str(platform).replace('/', '_')}/" if len(platforms) > 1 else ""
    found: dict[str, list[str]] = {name: [] for name in _FILES}
    with tarfile.open(archive) as opened:
        for name, lines in _interesting(opened, prefix):
            found[name] += lines
    return read_listing(platform, _joined(found))


def _interesting(archive: tarfile.TarFile, prefix: str) -> Iterator[tuple[str, list[str]]]:
    for member in archive:
        name = member.name.removeprefix("./")
        if not name.startswith(prefix):
            continue
        path = "/" + name.removeprefix(prefix)
        if path.endswith(".json") and "/conda-meta/" in path:
            yield "conda", [path]
        kind = _kind(path)
        content = archive.extractfile(member) if kind and member.isfile() else None
        if content is not None:
            lines = content.read(_LARGEST).decode(errors="replace").splitlines()
            yield kind, [f"{path}:{line}" for line in lines] if kind == "python" else lines


def _kind(path: str) -> str:
    if path.endswith(".dist-info/METADATA"):
        return "python"
    if path == "/var/lib/dpkg/status" or path.startswith("/var/lib/dpkg/status.d/"):
        return "dpkg"
    return "os-release" if path in ("/etc/os-release", "/usr/lib/os-release") else ""


def _joined(found: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: "\n".join(lines) for name, lines in found.items()}
