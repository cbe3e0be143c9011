"""The command line of a build, and what its failures are called."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.builder.doubles import AMD64, ARM64

from flyte_build.builder.buildx.argv import Invocation, build_argv
from flyte_build.builder.buildx.failure import failure
from flyte_build.registry.errors import BuildFailed, EngineMissing
from flyte_build.registry.names import Repository, Target

TARGET = Target(Repository.parse("ghcr.io/acme/train"), ("abc",))
CALL = Invocation(
    docker=("/usr/bin/docker",),
    context="/w/context",
    dockerfile="/w/Dockerfile",
    metadata="/w/metadata.json",
    platforms=(AMD64,),
    target=TARGET,
    output="push",
    builder=None,
    stores_images=True,
    secrets={},
)
DIRECT = "type=image,name=ghcr.io/acme/train:abc,push=,oci-mediatypes=true,unpack=false,store=false"
DIRECT += ",compression=zstd"
MARKED = {"annotations": {"mark": "a,b"}, "compression": "gzip"}
ARGV = [
    ("an image that is pushed from a containerd store", {}, ["--output", DIRECT, "/w/context"]),
    (
        "an image that another driver pushes",
        {"stores_images": False},
        ["--output", "type=image,name=ghcr.io/acme/train:abc,push=true,oci-mediatypes=true"],
    ),
    (
        "an image with annotations",
        MARKED,
        ["--output", f'{DIRECT.replace("zstd", "gzip")},"annotation.mark=a,b"', "/w/context"],
    ),
    (
        "an index, whose own annotations are others",
        {"platforms": (AMD64, ARM64), "annotations": {"m": "1"}},
        ["--output", f"{DIRECT},annotation.m=1,annotation-index.m=1", "/w/context"],
    ),
    (
        "an image that is the same whenever it is built",
        {"reproducible": True},
        ["--output", f"{DIRECT},rewrite-timestamp=true", "/w/context"],
    ),
    ("a build without the engine's memory", {"no_cache": True}, ["--no-cache"]),
    ("one timestamp for everything", {}, ["--build-arg", "SOURCE_DATE_EPOCH=315532800"]),
    ("an image that is loaded", {"output": "load"}, ["--output", "type=docker,name=ghcr.io/acme/train:abc"]),
    ("an image that is only built", {"output": "none"}, ["--output", "type=cacheonly"]),
    (
        "several tags",
        {"target": replace(TARGET, tags=("abc", "latest")), "output": "load"},
        ["--output", 'type=docker,"name=ghcr.io/acme/train:abc,ghcr.io/acme/train:latest"'],
    ),
    ("several platforms", {"platforms": (AMD64, ARM64)}, ["--platform", "linux/amd64,linux/arm64"]),
    ("a builder by name", {"builder": "big"}, ["/usr/bin/docker", "buildx", "build", "--builder", "big"]),
    (
        "secrets, sorted",
        {"secrets": {"b": "/s/b", "a": "/s/a"}},
        ["--secret", "id=a,src=/s/a", "--secret", "id=b,src=/s/b"],
    ),
    ("a secret in an odd place", {"secrets": {"a": '/s,"x"/a'}}, ["--secret", 'id=a,"src=/s,""x""/a"']),
    (
        "caches",
        {"cache_from": ("x",), "cache_to": ("y", "z")},
        ["--cache-from", "x", "--cache-to", "y", "--cache-to", "z"],
    ),
    ("attestations, never the built-in ones", {}, ["--provenance=false", "--sbom=false", "--progress=rawjson"]),
    ("the files of the build", {}, ["--file", "/w/Dockerfile", "--metadata-file", "/w/metadata.json"]),
]


@pytest.mark.parametrize(("changes", "expected"), [row[1:] for row in ARGV], ids=[row[0] for row in ARGV])
def test_the_command_line_of(changes: dict[str, Any], expected: list[str]) -> None:
    argv = list(build_argv(replace(CALL, **changes)))
    assert any(argv[start : start + len(expected)] == expected for start in range(len(argv)))


def ran(*log: str, code: int = 1) -> tuple[str, str, tuple[str, ...]]:
    error = (
        f'process "/bin/sh -c . /run/x\\npip install --token s3cret" did not complete successfully: exit code: {code}'
    )
    return "pip packages: x", error, log


FAILURES = [
    ("a step", ran("boom"), (), "the step «pip packages: x» failed with exit code 1", ""),
    (
        "a package that is not there",
        ran("  x was not found in the package registry"),
        (),
        "exit code 1",
        "check the package's name",
    ),
    ("a version that is not there", ran("there is no version of numpy==0"), (), "exit code 1", "check the version"),
    (
        "a Debian package",
        ran("E: Unable to locate package x", code=100),
        (),
        "exit code 100",
        "check the name of the Debian",
    ),
    ("no apt", ran("/bin/sh: 1: apt-get: not found", code=127), (), "exit code 127", "apt packages need a Debian"),
    ("a private CA", ran("invalid peer certificate: UnknownIssuer"), (), "exit code 1", "set SSL_CERT_FILE"),
    ("no such Python", ran("No interpreter found for Python 3.9"), (), "exit code 1", "the base has no such Python"),
    ("a full disk", ran("No space left on device"), (), "exit code 1", "free disk space"),
    ("memory", ran("Killed", code=137), (), "exit code 137", "most likely for want of memory"),
    (
        "a push",
        ("exporting to image", "failed to push x: 401\nmore", ()),
        (),
        "exporting to image failed: failed to push x: 401",
        "",
    ),
    (
        "a file that the Dockerfile copies and that is not there",
        ("COPY a /x", 'failed to calculate checksum of ref l38o::if82: "/a": not found', ()),
        (),
        'the Dockerfile copies "/a", which is not among the files that go into the build',
        "relative to the Dockerfile's folder, and the dockerignore",
    ),
    ("a step without a reason", ("x", " ", ()), (), "x failed: no reason given", ""),
    (
        "Buildx itself",
        None,
        ("WARNING: a", "ERROR: failed to solve: no such base", "b"),
        "docker buildx could not build ghcr.io/acme/train:abc: no such base",
        "",
    ),
    ("Buildx without a word", None, (), "docker buildx could not build ghcr.io/acme/train:abc: it said nothing", ""),
]


@pytest.mark.parametrize(
    ("failed", "prose", "sentence", "hint"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES]
)
def test_the_failure_of(failed: Any, prose: tuple[str, ...], sentence: str, hint: str) -> None:
    error = failure(TARGET, failed, prose)
    assert isinstance(error, BuildFailed)
    assert error.sentence.endswith(sentence)
    assert error.hint.startswith(hint) or hint in error.hint
    assert bool(error.hint) == bool(hint)
    assert error.log == (failed[2] if failed else prose)
    assert "s3cret" not in error.sentence


def test_a_builder_that_does_not_answer_is_away_and_no_failed_step() -> None:
    error = failure(TARGET, ("[internal] waiting for connection", "failed: DeadlineExceeded: no", ()), ())
    assert isinstance(error, EngineMissing)
    assert error.transient


def test_what_a_step_says_of_other_servers_is_no_loss_of_the_engine() -> None:
    lost = "rpc error: code = Unavailable desc = error reading from server: EOF"
    assert failure(TARGET, None, (f"ERROR: failed to receive status: {lost}",)).transient
    assert failure(TARGET, None, ("ERROR: error during connect: read unix: connection reset by peer",)).transient
    assert not failure(TARGET, ("RUN x", "exit code: 1", (lost,)), ("ERROR: failed to solve: exit code: 1",)).transient


@pytest.mark.parametrize("said", ["ERROR: Cannot connect to the Docker daemon at x", "ERROR: dial: connection refused"])
def test_an_engine_that_went_away_is_said_to_be_gone(said: str) -> None:
    error = failure(TARGET, None, (said,))
    assert isinstance(error, EngineMissing)
    assert error.sentence == "the Docker engine went away during the build"
