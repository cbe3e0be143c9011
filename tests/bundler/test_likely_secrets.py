"""Files that look like secrets stay at home, unless they are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_build.bundler import junk
from flyte_build.registry.errors import InvalidTree

from . import trees
from .trees import listed

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n"


SUSPECTS = (
    ".env",
    ".env.local",
    "x.p12",
    "x\n.ppk",
    "id_rsa",
    ".netrc",
    "credentials",
    "config",
    "config.json",
    "secrets.toml",
)


KEYS = "[default]\nregion = eu-west-1\naws_access_key_id = AKIATTTTTTTTTTTTTTTT\naws_secret_access_key = {}\n"


ACCOUNT = '{"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\\nMIIE"}'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param(".env", "", id=".env at the top"),
        pytest.param("a/b/.env.local", "", id=".env.local in a folder"),
        pytest.param("a/.envrc", "", id=".envrc"),
        pytest.param("id_rsa", "", id="a key by its name"),
        pytest.param("certs/server.pem", KEY, id="a key by its content"),
        pytest.param("x.json", ACCOUNT, id="a service account by its content"),
        pytest.param("aws.ini", KEYS.format("T" * 40), id="keys of AWS by their content"),
        pytest.param(".aws/credentials", "", id="the credentials of a cloud"),
        pytest.param("home/.docker/config.json", "", id="the credentials of registries"),
        pytest.param("a/.netrc", "", id="a netrc"),
        pytest.param("conf/secrets.json", "", id="a file called secrets"),
    ],
)
def test_a_likely_secret_is_refused_unless_it_is_named(tmp_path: Path, name: str, content: str) -> None:
    root = trees.make(tmp_path / "t", {name: content, "main.py": ""})
    with pytest.raises(InvalidTree, match="looks like a secret") as caught:
        listed(root, "*", "**/*")
    assert name in caught.value.sentence
    assert caught.value.hint.endswith(f"--include {name}")
    assert listed(root, name) == {name, "main.py"}
    (root / ".flyteignore").write_text(f"/{name}\n")
    assert listed(root) == {".flyteignore", "main.py"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param(".env.example", "", id="an example environment"),
        pytest.param("id_rsa.pub", "", id="a public key"),
        pytest.param("test.py", f'KEY = """{KEY}"""', id="source that holds a key in a string"),
        pytest.param(
            "aws.ini", KEYS.format("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), id="the keys of a documentation"
        ),
        pytest.param("aws.py", "x = 1\n" + KEYS.format("T" * 40), id="source that holds keys of AWS"),
        pytest.param("ca.pem", "-----BEGIN CERTIFICATE-----\n", id="a certificate"),
        pytest.param("environment.yml", "", id="an environment that is none"),
    ],
)
def test_no_secret_is_seen_in(tmp_path: Path, name: str, content: str) -> None:
    assert listed(trees.make(tmp_path / "t", {name: content})) == {name}


@given(
    st.one_of(st.text(max_size=12), st.sampled_from(SUSPECTS)),
    st.sampled_from(["", "a/", ".aws/", ".kube/", ".docker/"]),
)
def test_every_likely_secret_is_suspected_by_its_name_alone(name: str, folder: str) -> None:
    if "/" not in name and junk.secret_by_name(folder + name):
        assert junk.may_be_secret(name)
