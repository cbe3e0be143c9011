"""`flyte-build image` beside the Dockerfile that the `flyte` SDK makes of the same image, on the same engine.

    eval "$(tests/parts/parts env)"; python benchmarks/image.py [ROUNDS]

Jobs: nothing cached; everything cached; one package added; one source file changed; the image exists. The SDK's own
builder pulls a frontend and a uv image from public registries, so its Dockerfile, made by its own code, is changed in
two lines: no `# syntax=`, and uv from an image in the local registry. Both build on a base that trusts this machine's
CA. The engine's build cache is removed before each "nothing cached".
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
from collections.abc import Callable
from pathlib import Path

from flyte._image import Image
from flyte._internal.imagebuild import docker_builder as sdk

from flyte_build.builder.machine import find_machine
from flyte_build.builder.uv import fetch_uv
from flyte_build.registry.descriptors import Platform

REGISTRY = os.environ["FLYTE_BUILD_TEST_REGISTRY"]
PYTHON = os.environ["FLYTE_BUILD_TEST_BASE_PYTHON"]
PACKAGES = ("numpy", "pandas", "httpx")


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
    """Build and push the SDK's Dockerfile of the image."""
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
        run("docker", "buildx", "build", "--push", "--tag", f"{REGISTRY}/benchmark/theirs:1", folder)


def ours(base: str, packages: tuple[str, ...], source: Path, *flags: str) -> None:
    """Build and push the same by flyte-build, as its user does."""
    spec = source.parent / "image.toml"
    pip = ", ".join(f'"{package}"' for package in packages)
    text = f'name = "ours"\nbase = "{base}"\npython = "{PYTHON}"\n[[layers]]\npip = [{pip}]\n'
    spec.write_text(f'{text}[[layers]]\ncopy = "{source.name}"\nto = "/app"\ncontents = true\n')
    run("flyte-build", "image", str(spec), "--registry", f"{REGISTRY}/benchmark", "--progress", "quiet", *flags)


def timed(job: Callable[[], None]) -> float:
    began = time.monotonic()
    job()
    return time.monotonic() - began


def measure(base: str, uv: str, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds of both for each job, in turns."""
    results: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        source.mkdir()
        for number in range(200):
            (source / f"module{number}.py").write_text(f"VALUE = {number}\n" * 50)
        for round_number in range(rounds):
            extra = ("six", "idna", "attrs", "click", "rich")[round_number % 5]

            def both(job: str, packages: tuple[str, ...], *, cold: bool = False, force: bool = True) -> None:
                seconds = []
                flags = ("--force",) if force else ()
                for build in (lambda: ours(base, packages, source, *flags), lambda: theirs(base, uv, packages, source)):
                    if cold:
                        run("docker", "buildx", "prune", "--all", "--force")
                    seconds.append(timed(build))
                results.setdefault(job, []).append((seconds[0], seconds[1]))

            both("nothing cached", PACKAGES, cold=True)
            ours(base, PACKAGES, source, "--force")  # the last "nothing cached" removed what ours had left
            both("everything cached, image built again", PACKAGES)
            both("image exists", PACKAGES, force=False)
            both("one package added", (*PACKAGES, extra))
            (source / "module0.py").write_text(f"VALUE = {time.time()}\n")
            both("one source file changed", (*PACKAGES, extra))
    return results


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    machine = find_machine()
    ca = "COPY ca /ca.pem\nENV SSL_CERT_FILE=/ca.pem\n" if machine.ca else ""
    files = {"ca": machine.ca} if machine.ca else {}
    base = local_image("base", f"FROM {os.environ['FLYTE_BUILD_TEST_BASE']}\n{ca}", **files)
    uv = local_image("uv", "FROM scratch\nCOPY uv /uv\n", uv=fetch_uv(Platform.parse("linux/amd64")))
    print(f"medians of {rounds} rounds\n\n| job | ours | SDK's Dockerfile | ratio |\n|---|---|---|---|")
    for job, seconds in measure(base, uv, rounds).items():
        mine, peer = (statistics.median(column) for column in zip(*seconds, strict=True))
        print(f"| {job} | {mine:.2f} s | {peer:.2f} s | {mine / peer:.2f} |", flush=True)


if __name__ == "__main__":
    main()
