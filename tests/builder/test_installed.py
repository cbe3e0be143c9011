"""What listings of an image say, and how it is written down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builder.doubles import AMD64, ARM64

from flyte_build.builder.installed import Installed, Package, format_installed, parse_installed, read_listing
from flyte_build.registry.errors import InvalidInput

DPKG = """Package: libc++1
Status: install ok installed
Architecture: amd64
Version: 1:14.0-1+b1
Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1
Package: distroless
Architecture: amd64
Version: 2
"""
PYTHON = """/opt/venv/lib/python3.12/site-packages/Ruamel_yaml-0.18.dist-info/METADATA:Name: Ruamel.Yaml
/opt/venv/lib/python3.12/site-packages/Ruamel_yaml-0.18.dist-info/METADATA:Version: 0.18
/opt/venv/lib/python3.12/site-packages/Ruamel_yaml-0.18.dist-info/METADATA:Name: a line of its description
/usr/lib/python3/dist-packages/idna-3.3.dist-info/METADATA:Name: idna
/usr/lib/python3/dist-packages/idna-3.3.dist-info/METADATA:Version: 3.3
/app/vendored/six-1.0.dist-info/METADATA:Name: six
/app/vendored/six-1.0.dist-info/METADATA:Version: 1.0
"""
CONDA = "/opt/pixi-project/.pixi/envs/default/conda-meta/ca-certificates-2024.1.1-h06a4308_0.json\n"
RELEASE = 'PRETTY_NAME="x"\nID=debian\nVERSION_ID="12"\n'


def test_packages_have_the_names_that_others_know_them_by() -> None:
    found = read_listing(AMD64, {"os-release": RELEASE, "dpkg": DPKG, "python": PYTHON, "conda": CONDA})
    assert found.distribution == "debian-12"
    assert {package.purl: package.place for package in found.packages} == {
        "pkg:conda/ca-certificates@2024.1.1?build=h06a4308_0": "/opt/pixi-project/.pixi/envs/default",
        "pkg:deb/debian/distroless@2?arch=amd64&distro=debian-12": "",
        "pkg:deb/debian/libc%2B%2B1@1:14.0-1%2Bb1?arch=amd64&distro=debian-12": "",
        "pkg:pypi/idna@3.3": "/usr",
        "pkg:pypi/ruamel-yaml@0.18": "/opt/venv",
        "pkg:pypi/six@1.0": "/app/vendored",
    }


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"dpkg": "\n\nVersion: 1\n", "python": "x", "conda": "y", "os-release": "z"}, id="no packages"),
        pytest.param({"python": "/a.dist-info/METADATA:Name: \x1b[31mred\n"}, id="escapes for a terminal"),
        pytest.param({"dpkg": "Package: a b\nVersion: 1\n"}, id="a name with a blank"),
        pytest.param({"dpkg": "Package: a\nVersion: <script>\n"}, id="a version that is markup"),
        pytest.param({"dpkg": "Package: a\n"}, id="no version"),
    ],
)
def test_what_is_no_package_is_left_out(files: dict[str, str]) -> None:
    assert read_listing(AMD64, files) == Installed(platform=AMD64)


@given(st.dictionaries(st.sampled_from(["os-release", "dpkg", "python", "conda"]), st.text()))
def test_any_listing_can_be_read_and_written(files: dict[str, str]) -> None:
    found = read_listing(ARM64, files)
    assert parse_installed(format_installed([found])) == (found,)


def test_a_list_is_the_same_text_in_any_order() -> None:
    package = Package(kind="pypi", name="six", version="1", purl="pkg:pypi/six@1", place="/opt/venv")
    images = [Installed(platform=platform, packages=(package,)) for platform in (AMD64, ARM64)]
    assert format_installed(images) == format_installed(images[::-1])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version":2}', '{"version":1,"platforms":[{"platform":"x"}]}'])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_installed(text.encode())
