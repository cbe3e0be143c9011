"""Facts of the machine that steps need: found where pip and uv look, and never shown."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.builder.doubles import write

from flyte_build.builder.machine import Machine, find_machine
from flyte_build.registry.errors import InvalidInput

MINE, OTHER = "https://mine.test/simple", "https://other.test/simple"
CONF = f"[global]\nindex-url = {MINE}\nextra-index-url =\n    {OTHER}\n    https://third.test\n"

INDEXES: list[tuple[str, dict[str, str], dict[str, str], str | None, tuple[str, ...]]] = [
    ("nothing", {}, {}, None, ()),
    ("PIP_INDEX_URL", {"PIP_INDEX_URL": MINE}, {}, MINE, ()),
    ("UV_DEFAULT_INDEX before pip's", {"UV_DEFAULT_INDEX": MINE, "PIP_INDEX_URL": OTHER}, {}, MINE, ()),
    ("an index with uv's name", {"UV_DEFAULT_INDEX": f"mine={MINE}"}, {}, MINE, ()),
    ("a URL with an equals sign", {"PIP_INDEX_URL": f"{MINE}?a=b"}, {}, f"{MINE}?a=b", ()),
    ("extra indexes", {"PIP_EXTRA_INDEX_URL": f"{MINE} {OTHER}"}, {}, None, (MINE, OTHER)),
    ("extra indexes with names", {"UV_INDEX": f"a={MINE} {OTHER}"}, {}, None, (MINE, OTHER)),
    ("pip's own file", {}, {".config/pip/pip.conf": CONF}, MINE, (OTHER, "https://third.test")),
    ("its old place", {}, {".pip/pip.conf": CONF}, MINE, (OTHER, "https://third.test")),
    ("its place on a Mac", {}, {"Library/Application Support/pip/pip.conf": CONF}, MINE, (OTHER, "https://third.test")),
    ("a file with underscores", {}, {".pip/pip.conf": f"[global]\nindex_url={MINE}"}, MINE, ()),
    (
        "the install section wins",
        {},
        {".pip/pip.conf": f"[install]\nindex-url={MINE}\n[global]\nindex-url={OTHER}"},
        MINE,
        (),
    ),
    (
        "the environment wins over files",
        {"PIP_INDEX_URL": OTHER},
        {".pip/pip.conf": f"[global]\nindex-url={MINE}"},
        OTHER,
        (),
    ),
    ("a file that is broken", {}, {".pip/pip.conf": "index-url"}, None, ()),
    (
        "a percent sign in a password",
        {},
        {".pip/pip.conf": "[global]\nindex-url=https://u:a%20b@x.test"},
        "https://u:a%20b@x.test",
        (),
    ),
    ("a folder of this machine", {"PIP_INDEX_URL": "file:///wheels"}, {}, None, ()),
    ("a folder among others", {"UV_INDEX": f"/wheels {MINE} file:///x"}, {}, None, (MINE,)),
]


@pytest.mark.parametrize(
    ("environment", "files", "index", "extra"), [row[1:] for row in INDEXES], ids=[row[0] for row in INDEXES]
)
def test_the_index_is_found_in(
    tmp_path: Path, environment: dict[str, str], files: dict[str, str], index: str | None, extra: tuple[str, ...]
) -> None:
    write(tmp_path, files)
    found = find_machine({"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(tmp_path / "none.conf")} | environment)
    own = find_machine({"HOME": str(tmp_path / "nobody")})
    assert found.index_url == (index or own.index_url)
    assert found.extra_index_urls == (extra or own.extra_index_urls)


def test_pip_can_be_told_to_read_one_more_file_or_none(tmp_path: Path) -> None:
    write(tmp_path, {"own.conf": f"[global]\nindex-url={MINE}", ".pip/pip.conf": f"[global]\nindex-url={OTHER}"})
    home = {"HOME": str(tmp_path)}
    assert find_machine(home | {"PIP_CONFIG_FILE": str(tmp_path / "own.conf")}).index_url == MINE
    assert find_machine(home | {"PIP_CONFIG_FILE": "/dev/null"}).index_url is None
    assert find_machine({"HOME": "/gone", "VIRTUAL_ENV": str(write(tmp_path, {"pip.conf": CONF}))}).index_url == MINE


CAS: list[tuple[str, dict[str, str], str | None]] = [
    ("nothing", {}, None),
    ("SSL_CERT_FILE", {"SSL_CERT_FILE": "{home}/one.pem"}, "one.pem"),
    ("ours first", {"SSL_CERT_FILE": "{home}/one.pem", "FLYTE_BUILD_CA_BUNDLE": "{home}/two.pem"}, "two.pem"),
    ("the next when one is gone", {"SSL_CERT_FILE": "/gone.pem", "PIP_CERT": "{home}/one.pem"}, "one.pem"),
    ("no folder of certificates", {"REQUESTS_CA_BUNDLE": "{home}"}, None),
]


@pytest.mark.parametrize(("environment", "expected"), [row[1:] for row in CAS], ids=[row[0] for row in CAS])
def test_the_ca_bundle_is_found_in(tmp_path: Path, environment: Mapping[str, str], expected: str | None) -> None:
    write(tmp_path, {"one.pem": "1", "two.pem": "2"})
    given = {name: value.format(home=tmp_path) for name, value in environment.items()}
    found = find_machine({"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"} | given)
    assert found.ca == (tmp_path / expected if expected else None)


def test_pips_own_certificate_setting_counts_too(tmp_path: Path) -> None:
    write(tmp_path, {"ca.pem": "x", ".pip/pip.conf": f"[global]\ncert={tmp_path / 'ca.pem'}"})
    assert find_machine({"HOME": str(tmp_path)}).ca == tmp_path / "ca.pem"


def test_a_bundle_of_ours_that_is_gone_is_an_error() -> None:
    with pytest.raises(InvalidInput, match=r"FLYTE_BUILD_CA_BUNDLE names /gone\.pem, which is no file"):
        find_machine({"FLYTE_BUILD_CA_BUNDLE": "/gone.pem"})


def test_the_netrc_is_the_users_or_the_one_that_is_named(tmp_path: Path) -> None:
    write(tmp_path, {".netrc": "x", "other": "y"})
    assert find_machine({"HOME": str(tmp_path)}).netrc == tmp_path / ".netrc"
    assert find_machine({"HOME": str(tmp_path), "NETRC": str(tmp_path / "other")}).netrc == tmp_path / "other"
    assert find_machine({"HOME": str(tmp_path), "NETRC": "/gone"}).netrc is None


def test_nothing_secret_is_shown() -> None:
    machine = Machine(index_url="https://me:s3cret@a.test", extra_index_urls=("https://s3cret@b.test",))
    assert "s3cret" not in repr(machine)
    assert "s3cret" not in f"{machine}"


@pytest.mark.parametrize("url", ["https://me:pa$$word@a.test", "https://a.test/'; touch owned; '", "https://a.test/ü"])
def test_the_index_script_says_exactly_the_urls(tmp_path: Path, url: str) -> None:
    file = tmp_path / "index.sh"
    file.write_text(Machine(index_url=url, extra_index_urls=(url, "https://b.test")).index_script(), encoding="utf-8")
    script = '. ./index.sh; printf "%s\\n" "$UV_DEFAULT_INDEX" "$PIP_INDEX_URL" "$UV_INDEX" "$PIP_EXTRA_INDEX_URL"'
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [url, url, f"{url} https://b.test", f"{url} https://b.test"]
    assert [path.name for path in tmp_path.iterdir()] == ["index.sh"]


def test_no_index_no_script() -> None:
    assert Machine(ca=Path("/a")).index_script() == ""
