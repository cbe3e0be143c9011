"""What is really installed in an image: values, how they are read from listings, and their JSON. Pure.

Names follow the purl specification (package-url/purl-spec, types `deb`, `pypi`, `conda`), so that a bill of materials
can be made of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from urllib.parse import quote

from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidInput

VERSION = 1
_METADATA = re.compile(
    r"(?P<place>.*?)(?:/lib/python3[^/]*/(?:site|dist)-packages)?/(?P<folder>[^/]+\.dist-info)/METADATA:"
)
_CONDA = re.compile(r"(?P<place>.*)/conda-meta/(?P<name>[^/]+)-(?P<version>[^/-]+)-(?P<build>[^/-]+)\.json")
# What is no name or version is left out: listings come from inside the image, which may hold anything.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_WORD = re.compile(r"[A-Za-z0-9.!_+~:-]+")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Package:
    """`kind` is `deb`, `pypi` or `conda`; `place` is the environment that a Python or conda package is in."""

    kind: str
    name: str
    version: str
    purl: str
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """All packages of an image for one platform, sorted. `distribution` is like `debian-12`, empty if unknown."""

    platform: Platform
    distribution: str = ""
    packages: tuple[Package, ...] = ()


def read_listing(platform: Platform, files: Mapping[str, str]) -> Installed:
    """What the files of a listing say (`os-release`, `dpkg`, `python`, `conda`; each may be absent)."""
    release = dict(_pair(line) for line in files.get("os-release", "").splitlines() if "=" in line)
    names = [release.get(key, "") for key in ("ID", "VERSION_ID")]
    distribution = "-".join(name for name in names if _WORD.fullmatch(name))
    found = {
        *_debian(files.get("dpkg", "").splitlines(), distribution),
        *_python(files.get("python", "").splitlines()),
        *_conda(files.get("conda", "").splitlines()),
    }
    return Installed(platform=platform, distribution=distribution, packages=tuple(sorted(found)))


def _pair(line: str) -> tuple[str, str]:
    key, _, value = line.partition("=")
    return key.strip(), value.strip().strip("\"'")


def _debian(lines: Iterable[str], distribution: str) -> Iterator[Package]:
    vendor = distribution.partition("-")[0] or "debian"
    for record in _records(lines, "Package"):
        name, version, arch = (record.get(key, "") for key in ("Package", "Version", "Architecture"))
        # Files of `status.d` (distroless) state no status: what is listed there is installed.
        installed = record.get("Status", "install ok installed").endswith(" installed")
        if installed and _NAME.fullmatch(name) and _WORD.fullmatch(version):
            qualifiers = {"arch": arch if _WORD.fullmatch(arch) else "", "distro": distribution}
            purl = package_url(f"deb/{vendor}", name, version, qualifiers)
            yield Package(kind="deb", name=name, version=version, purl=purl)


def _python(lines: Iterable[str]) -> Iterator[Package]:
    records: dict[tuple[str, str], dict[str, str]] = {}
    for line in lines:
        match = _METADATA.match(line)
        if match:
            key, _, value = line[match.end() :].partition(": ")
            # The first counts: what follows the headers is a description, which may look like them.
            records.setdefault((match["place"], match["folder"]), {}).setdefault(key, value.strip())
    for (place, _), record in records.items():
        name, version = record.get("Name", ""), record.get("Version", "")
        if _NAME.fullmatch(name) and _WORD.fullmatch(version):
            plain = re.sub(r"[-_.]+", "-", name).lower()
            yield Package(
                kind="pypi", name=plain, version=version, purl=package_url("pypi", plain, version, {}), place=place
            )


def _conda(lines: Iterable[str]) -> Iterator[Package]:
    for line in lines:
        match = _CONDA.fullmatch(line.strip())
        if match and _NAME.fullmatch(match["name"]) and _WORD.fullmatch(match["version"]):
            purl = package_url("conda", match["name"], match["version"], {"build": match["build"]})
            yield Package(kind="conda", name=match["name"], version=match["version"], purl=purl, place=match["place"])


def _records(lines: Iterable[str], first: str) -> Iterator[dict[str, str]]:
    record: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(": ")
        if key == first and record:
            yield record
            record = {}
        record.setdefault(key, value.strip())
    yield record


def package_url(kind: str, name: str, version: str, qualifiers: Mapping[str, str]) -> str:
    """A purl; qualifiers without a value are left out. `kind` may have a namespace: `deb/debian`."""
    given = "&".join(f"{key}={quote(value, safe='')}" for key, value in sorted(qualifiers.items()) if value)
    return f"pkg:{kind}/{quote(name, safe='')}@{quote(version, safe=':')}{'?' if given else ''}{given}"


def format_installed(images: Iterable[Installed]) -> bytes:
    """JSON, sorted, so that equal images give equal bytes."""
    platforms = [
        {
            "platform": str(one.platform),
            "distribution": one.distribution,
            "packages": [asdict(package) for package in one.packages],
        }
        for one in sorted(images, key=lambda one: str(one.platform))
    ]
    return json.dumps({"version": VERSION, "platforms": platforms}, sort_keys=True, separators=(",", ":")).encode()


def parse_installed(content: bytes) -> tuple[Installed, ...]:
    """The inverse of `format_installed`; InvalidInput for anything else."""
    try:
        document = json.loads(content)
        if document["version"] != VERSION:
            raise InvalidInput(f"a list of packages of version {document['version']!r} cannot be read")
        return tuple(
            Installed(
                platform=Platform.parse(one["platform"]),
                distribution=str(one["distribution"]),
                packages=tuple(Package(**{key: str(value) for key, value in each.items()}) for each in one["packages"]),
            )
            for one in document["platforms"]
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput("this is no list of packages") from error
