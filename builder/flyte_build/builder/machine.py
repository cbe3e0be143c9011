"""Facts of this machine that a build step may need and an image must never hold.

The CA bundle behind which the machine lives, the package index it is configured for, its netrc. They are found
where pip and uv look, written as files, and reach steps as BuildKit secrets only.
"""

from __future__ import annotations

import configparser
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flyte_build.registry.errors import InvalidInput

_OWN_CA = "FLYTE_BUILD_CA_BUNDLE"
_CA_VARIABLES = (_OWN_CA, "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """`ca`: a PEM bundle. `index_url` and `extra_index_urls`: may hold credentials, so never shown. `netrc`: a file."""

    ca: Path | None = None
    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    netrc: Path | None = None

    def __repr__(self) -> str:
        """Index URLs may hold passwords."""
        return f"Machine(ca={self.ca}, index={'configured' if self.index_url else 'default'})"

    def index_script(self) -> str:
        """Shell text that tells uv and pip of the index; empty when nothing is configured."""
        lines = []
        if self.index_url:
            url = shlex.quote(self.index_url)
            lines += [f"export UV_DEFAULT_INDEX={url}", f"export PIP_INDEX_URL={url}"]
        if self.extra_index_urls:
            urls = shlex.quote(" ".join(self.extra_index_urls))
            lines += [f"export UV_INDEX={urls}", f"export PIP_EXTRA_INDEX_URL={urls}"]
        return "".join(f"{line}\n" for line in lines)


def find_machine(environment: Mapping[str, str] | None = None) -> Machine:
    """Read the environment, pip's configuration files and the home folder; nothing is written.

    Raises InvalidInput when FLYTE_BUILD_CA_BUNDLE names no file.
    """
    environment = os.environ if environment is None else environment
    pip = _pip_settings(environment)
    index = _first(environment, "UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL") or pip.get("index-url", "")
    extra = _first(environment, "UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL") or pip.get(
        "extra-index-url", ""
    )
    return Machine(
        ca=_ca(environment, pip),
        index_url=next(_reachable(index), None),
        extra_index_urls=tuple(_reachable(extra)),
        netrc=_netrc(environment),
    )


def _reachable(indexes: str) -> Iterator[str]:
    """The URLs among `indexes` that a build step can reach: a folder of this machine is none.

    uv lets an index carry a name: `internal=https://…`.
    """
    for index in indexes.split():
        name, _, rest = index.partition("=")
        url = rest if "://" not in name and "://" in rest else index
        if url.startswith(("http://", "https://")):
            yield url


def _ca(environment: Mapping[str, str], pip: Mapping[str, str]) -> Path | None:
    own = environment.get(_OWN_CA)
    if own and not _existing(own):
        raise InvalidInput(f"{_OWN_CA} names {own}, which is no file", hint="name a PEM bundle, or unset it")
    candidates = [environment.get(name) for name in _CA_VARIABLES] + [pip.get("cert")]
    return next((found for place in candidates if place and (found := _existing(place))), None)


def _netrc(environment: Mapping[str, str]) -> Path | None:
    if environment.get("NETRC"):
        return _existing(environment["NETRC"])
    home = _home(environment)
    return _existing(home / ".netrc") if home else None


def _home(environment: Mapping[str, str]) -> Path | None:
    """None for a user whom the system does not know, as in a container with a uid of its own."""
    if environment.get("HOME"):
        return Path(environment["HOME"])
    with suppress(RuntimeError):
        return Path.home()
    return None


def _existing(path: str | Path) -> Path | None:
    with suppress(OSError, RuntimeError):
        candidate = Path(path).expanduser()
        if candidate.is_file():
            return candidate.absolute()
    return None


def _first(environment: Mapping[str, str], *names: str) -> str | None:
    return next((environment[name] for name in names if environment.get(name)), None)


def _pip_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The `[global]` and `[install]` settings of pip's files, later files winning (pip's "Configuration" page)."""
    settings: dict[str, dict[str, str]] = {"global": {}, "install": {}}
    for file in _pip_files(environment):
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError):
            continue  # pip itself reports a broken file of its own; a build must not depend on it
        for section, values in settings.items():
            if parser.has_section(section):
                values.update((name.replace("_", "-"), value) for name, value in parser.items(section))
    return settings["global"] | settings["install"]


def _pip_files(environment: Mapping[str, str]) -> Iterator[Path]:
    chosen = environment.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return
    yield from (Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf"))
    if home := _home(environment):
        yield home / ".pip" / "pip.conf"
        yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
        yield home / "Library" / "Application Support" / "pip" / "pip.conf"
    if environment.get("VIRTUAL_ENV"):
        yield Path(environment["VIRTUAL_ENV"]) / "pip.conf"
    if chosen:
        yield Path(chosen)
