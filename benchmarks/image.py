"""`flyte-build image` beside the Dockerfile that the `flyte` SDK makes of the same image, on the same engine.

    eval "$(tests/parts/parts env)"; python benchmarks/image.py [ROUNDS] [PACKAGE,…]

Jobs: no layer cached; every layer cached; the image exists; one package added; one source file changed. Both are a
fresh Python process, as their users have it; the SDK's is also measured without Python, as `docker buildx build`
alone. The SDK's own builder pulls a frontend and a uv image from public registries, so its Dockerfile, made by its own
code, is changed in two lines: no `# syntax=`, and uv from an image in the local registry. Both build on a base that
trusts this machine's CA. For "no layer cached" each gets a base of its own; wheels are downloaded once by both, before.
Nothing of the engine's cache is removed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from flyte_build.builder.machine import find_machine
from flyte_build.builder.uv import fetch_uv
from flyte_build.registry.descriptors import Platform

REGISTRY = os.environ["FLYTE_BUILD_TEST_REGISTRY"]
PYTHON = os.environ["FLYTE_BUILD_TEST_BASE_PYTHON"]
PACKAGES = tuple(sys.argv[2].split(",")) if len(sys.argv) == 3 else ("numpy", "pandas", "httpx")


def run(*argv: str, cwd: Path | None = None) -> None:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(argv)}\n{done.stdout}{done.stderr}")


def local_image(name: str, dockerfile: str, **files: Path) -> str:
    """An image in the local registry, from a Dockerfile and files beside it."""
    reference = f"{REGISTRY}/benchmark/{name}:1"
    with tempfile.TemporaryDirectory() as folder:
        for key, file in files.items():
            shutil.copy(file, Path(folder) / key)
        (Path(folder) / "Dockerfile").write_text(dockerfile)
        run("docker", "buildx", "build", "--provenance=false", "--push", "--tag", reference, folder)
    return reference


def theirs(base: str, uv: str, packages: tuple[str, ...], source: Path) -> None:
    """Build and push the SDK's Dockerfile of the image; prints the seconds of `docker buildx build` alone."""
    from flyte._image import Image
    from flyte._internal.imagebuild import docker_builder as sdk

    image = Image.from_base(base).clone(name="theirs", extendable=True)
    image = image.with_pip_packages(*packages).with_source_folder(source, "/app", copy_contents_only=True)
    with tempfile.TemporaryDirectory() as folder:
        text = sdk.DOCKER_FILE_UV_BASE_TEMPLATE.substitute(BASE_IMAGE=base, PYTHON_VERSION=PYTHON)
        for layer in image._layers:
            text = asyncio.run(sdk._process_layer(layer, Path(folder), text))
        lines = [line for line in text.splitlines() if not line.startswith("# syntax")]
        lines = [f"FROM {uv} AS uv" if line.endswith(" AS uv") else line for line in lines]
        lines = [line.replace("--chown=flyte:flyte ", "") for line in lines]
        (Path(folder) / "Dockerfile").write_text("\n".join(lines))
        began = time.monotonic()
        run("docker", "buildx", "build", "--push", "--tag", f"{REGISTRY}/benchmark/theirs:1", folder)
        print(time.monotonic() - began)


def ours(base: str, packages: tuple[str, ...], source: Path, *flags: str) -> None:
    """Build and push the same by flyte-build, as its user does."""
    spec = source.parent / "image.toml"
    pip = ", ".join(f'"{package}"' for package in packages)
    text = f'name = "ours"\nbase = "{base}"\npython = "{PYTHON}"\n[[layers]]\npip = [{pip}]\n'
    spec.write_text(f'{text}[[layers]]\ncopy = "{source.name}"\nto = "/app"\ncontents = true\n')
    run("flyte-build", "image", str(spec), "--registry", f"{REGISTRY}/benchmark", "--progress", "quiet", *flags)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where both build: a base, the SDK's uv, and the folder of the user's files."""

    base: str
    uv: str
    source: Path


def once(place: Place, packages: tuple[str, ...], *flags: str) -> tuple[float, float, float]:
    """Seconds: ours, the SDK's, and of the latter `docker buildx build` alone."""
    began = time.monotonic()
    ours(place.base, packages, place.source, *flags)
    middle = time.monotonic()
    argv = [sys.executable, __file__, "theirs", place.base, place.uv, ",".join(packages), str(place.source)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return middle - began, time.monotonic() - middle, float(done.stdout)


def measure(place: Place, rounds: int) -> dict[str, list[tuple[float, float, float]]]:
    """Seconds of each job, in turns."""
    results: dict[str, list[tuple[float, float, float]]] = {}

    def note(job: str, seconds: tuple[float, float, float]) -> None:
        results.setdefault(job, []).append(seconds)

    once(place, PACKAGES, "--force")
    for number in range(rounds):
        more = (*PACKAGES, ("six", "idna", "attrs", "click", "rich")[number % 5])
        fresh = replace(place, base=local_image("base", f"FROM {place.base}\nENV ROUND={time.time()}\n"))
        note("no layer cached (wheels are)", once(fresh, PACKAGES, "--force"))
        note("every layer cached, image built again", once(fresh, PACKAGES, "--force"))
        note("image exists", once(fresh, PACKAGES))
        note("one package added", once(fresh, more))
        (place.source / "module0.py").write_text(f"VALUE = {time.time()}\n")
        note("one source file changed", once(fresh, more))
    return results


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    machine = find_machine()
    ca = "COPY ca /ca.pem\nENV SSL_CERT_FILE=/ca.pem\n" if machine.ca else ""
    files = {"ca": machine.ca} if machine.ca else {}
    base = local_image("base", f"FROM {os.environ['FLYTE_BUILD_TEST_BASE']}\n{ca}", **files)
    uv = local_image("uv", "FROM scratch\nCOPY uv /uv\n", uv=fetch_uv(Platform.parse("linux/amd64")))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        source.mkdir()
        for number in range(200):
            (source / f"module{number}.py").write_text(f"VALUE = {number}\n" * 50)
        results = measure(Place(base=base, uv=uv, source=source), rounds)
    print(f"medians of {rounds} rounds\n")
    print("| job | ours | SDK | ratio | `docker buildx build` of the SDK's alone |\n|---|---|---|---|---|")
    for job, seconds in results.items():
        mine, peer, alone = (statistics.median(column) for column in zip(*seconds, strict=True))
        print(f"| {job} | {mine:.2f} s | {peer:.2f} s | {mine / peer:.2f} | {alone:.2f} s |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["theirs"]:
        theirs(sys.argv[2], sys.argv[3], tuple(sys.argv[4].split(",")), Path(sys.argv[5]))
    else:
        main()
