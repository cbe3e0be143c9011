"""Names parse once, and their text is their inverse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_build.registry.errors import InvalidName
from flyte_build.registry.names import Digest, ImageName, ImageReference, Registry, Repository, Target, parse_tag

HEX = "0123456789abcdef" * 4

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
hosts = st.one_of(
    st.lists(labels, min_size=2, max_size=4).map(".".join), st.just("localhost"), st.just("127.0.0.1"), st.just("[::1]")
)
registries = st.builds(
    lambda host, port: f"{host}:{port}" if port else host,
    hosts,
    st.one_of(st.none(), st.integers(min_value=1, max_value=65535)),
)
components = st.from_regex(r"[a-z0-9]{1,6}((\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}", fullmatch=True)
paths = st.lists(components, min_size=1, max_size=4).map("/".join)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True)
digests = st.one_of(
    st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True), st.from_regex(r"sha512:[0-9a-f]{128}", fullmatch=True)
)


@given(registries)
def test_a_registry_is_the_inverse_of_its_text(text: str) -> None:
    assert Registry.parse(str(Registry.parse(text))) == Registry.parse(text)


@given(registries.filter(lambda host: "." in host or ":" in host or host == "localhost"), paths)
def test_a_repository_is_the_inverse_of_its_text(registry: str, path: str) -> None:
    repository = Repository.parse(f"{registry}/{path}")
    assert Repository.parse(str(repository)) == repository
    assert repository.registry == Registry.parse(registry)


@given(paths, st.one_of(st.none(), tags), st.one_of(st.none(), digests))
def test_an_image_name_is_the_inverse_of_its_text(path: str, tag: str | None, digest: str | None) -> None:
    name = ImageName.parse(f"ghcr.io/{path}{f':{tag}' if tag else ''}{f'@{digest}' if digest else ''}")
    assert ImageName.parse(str(name)) == name
    assert (name.tag, str(name.digest) if name.digest else None) == (tag, digest)
    assert name.identifier == (digest or tag or "latest")


@given(paths, digests)
def test_a_reference_is_the_inverse_of_its_text(path: str, digest: str) -> None:
    reference = ImageReference.parse(f"ghcr.io/{path}@{digest}")
    assert ImageReference.parse(str(reference)) == reference


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_an_invalid_name(text: str) -> None:
    for parse in (Registry.parse, Repository.parse, ImageName.parse, ImageReference.parse, Digest.parse, parse_tag):
        try:
            value = parse(text)
        except InvalidName:
            continue
        assert parse(str(value)) == value


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        pytest.param("python", "docker.io/library/python", id="a bare name is one of Docker Hub's library"),
        pytest.param("python:3.12", "docker.io/library/python:3.12", id="a tag stays with it"),
        pytest.param("acme/train", "docker.io/acme/train", id="two parts without a dot are Docker Hub's"),
        pytest.param("index.docker.io/acme/x", "docker.io/acme/x", id="Docker Hub's other name is folded"),
        pytest.param("registry-1.docker.io/acme/x", "docker.io/acme/x", id="Docker Hub's API host is folded"),
        pytest.param("localhost/x", "localhost/x", id="localhost is a host without a dot"),
        pytest.param("localhost:5000/x:y", "localhost:5000/x:y", id="a port is not a tag"),
        pytest.param("[::1]:5000/x", "[::1]:5000/x", id="an IPv6 address goes in brackets"),
        pytest.param("GHCR.io/acme/x", "ghcr.io/acme/x", id="a host has no case"),
        pytest.param(f"x:v1@sha256:{HEX}", f"docker.io/library/x:v1@sha256:{HEX}", id="a tag may join a digest"),
    ],
)
def test_what_people_write_is_what_docker_means(written: str, meant: str) -> None:
    assert str(ImageName.parse(written)) == meant


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("", id="nothing"),
        pytest.param("ghcr.io/", id="a host without a path"),
        pytest.param("ghcr.io/Acme/x", id="upper case in the path"),
        pytest.param("ghcr.io//x", id="an empty part"),
        pytest.param("ghcr.io/x:", id="a colon without a tag"),
        pytest.param("ghcr.io/x@", id="an at sign without a digest"),
        pytest.param("ghcr.io/x:-v", id="a tag that starts with a dash"),
        pytest.param(f"ghcr.io/x:{'a' * 129}", id="a tag of 129 characters"),
        pytest.param(f"ghcr.io/x@sha256:{HEX[:-1]}", id="a digest one digit short"),
        pytest.param(f"ghcr.io/x@sha256:{HEX.upper()}", id="a digest in upper case"),
        pytest.param(f"ghcr.io/x@md5:{HEX[:32]}", id="a digest of another algorithm"),
        pytest.param("https://ghcr.io/x", id="a URL"),
        pytest.param("ghcr.io:99999/x", id="a port that is none"),
        pytest.param("ghcr.io/x:v\n", id="a line break at the end"),
        pytest.param(f"ghcr.io/{'a' * 250}", id="a name that is too long"),
        pytest.param("ghcr.io/../x", id="a way up"),
    ],
)
def test_what_is_no_name_is_refused_in_one_sentence(written: str) -> None:
    with pytest.raises(InvalidName) as caught:
        ImageName.parse(written)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost:5000", True),
        ("reg.localhost", True),
        ("127.0.0.1:5000", True),
        ("127.9.9.9", True),
        ("[::1]:5000", True),
        ("[::1]", True),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("10.0.0.1:5000", False),
        ("ghcr.io", False),
    ],
)
def test_only_this_machine_is_loopback(host: str, loopback: bool) -> None:
    assert Registry.parse(host).is_loopback is loopback


def test_a_target_is_a_repository_with_its_tags() -> None:
    target = Target(Repository.parse("ghcr.io/acme/train"), ("abc", "v1"))
    assert (str(target), [str(name) for name in target.names()]) == (
        "ghcr.io/acme/train:abc",
        ["ghcr.io/acme/train:abc", "ghcr.io/acme/train:v1"],
    )


def test_a_reference_needs_a_digest() -> None:
    with pytest.raises(InvalidName, match="has no digest"):
        ImageReference.parse("ghcr.io/acme/train:v1")


@pytest.mark.parametrize("parse", [Registry.parse, Repository.parse])
def test_a_password_before_the_host_is_refused_and_not_repeated(parse: Callable[[str], object]) -> None:
    host = "alice:s3cret@ghcr.io"
    with pytest.raises(InvalidName, match="with a user's name in it") as caught:
        parse(host if parse == Registry.parse else f"{host}/acme/x")
    assert "s3cret" not in f"{caught.value}{caught.value.hint}"
    assert "--password-stdin" in caught.value.hint
