"""What can be wrong with what a pip or requirements layer asks for. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from flyte_build.builder.spec import PipOptions
from flyte_build.registry.errors import Problem

_INDEX = re.compile(r"(https?|file)://[^\s\x00-\x1f]+")
# What most people write, and always a requirement: `packaging` takes 20 ms to load, which a check of an image that
# exists should not pay.
_PLAIN = re.compile(r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*((==|>=|<=|!=|>|<)[0-9]+(\.[0-9]+)*)?")
# uv takes a URL without a name, which PEP 508 does not know.
_UNNAMED = re.compile(r"((git|hg|svn|bzr)\+)?(https?|ssh|file)://[^\s\x00-\x1f]+")
# `user:password@`, and before a web address any user: there it is a token. `git@` of ssh is nobody's secret.
_CREDENTIALS = re.compile(r"(?:https?://[^/\s@]+@|://[^/\s@:]*:[^/\s@]+@)")
_WHERE_TO = "which would be readable in the image's history; put them in ~/.netrc or the machine's index configuration"


def check_packages(packages: tuple[str, ...]) -> Iterator[Problem]:
    """Each is a PEP 508 requirement or a URL, and carries no credentials."""
    if not packages:
        yield Problem("", "names no package; name one, or leave the layer out")
    for package in packages:
        if _CREDENTIALS.search(package):
            yield Problem("", f"{_masked(package)!r} carries credentials, {_WHERE_TO}")
        elif not _PLAIN.fullmatch(package) and not _UNNAMED.fullmatch(package):
            yield from _requirement(package)


def _requirement(package: str) -> Iterator[Problem]:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        Requirement(package)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        yield Problem("", f"{package!r} is not a PEP 508 requirement ({reason}); write it like numpy>=2")


def check_options(options: PipOptions) -> Iterator[Problem]:
    """Indexes are URLs, extra arguments can be split, and nothing carries credentials."""
    indexes = [("index_url", options.index_url or "")] if options.index_url is not None else []
    indexes += [(f"extra_index_urls[{number}]", url) for number, url in enumerate(options.extra_index_urls)]
    for path, url in indexes:
        if not _INDEX.fullmatch(url):
            yield Problem(path, f"{_masked(url)!r} is not a URL; it starts with https://")
        elif _CREDENTIALS.search(url):
            yield Problem(path, f"{_masked(url)!r} carries credentials, {_WHERE_TO}")
    if _CREDENTIALS.search(options.extra_args):
        yield Problem("extra_args", f"carries credentials, {_WHERE_TO}")
        return
    try:
        arguments = shlex.split(options.extra_args)
    except ValueError as error:
        yield Problem("extra_args", f"{options.extra_args!r} cannot be split: {error}")
        return
    if any("\0" in argument for argument in arguments):
        yield Problem("extra_args", "has a NUL character")


def _masked(text: str) -> str:
    return re.sub(r"//[^/@]*@", "//***@", text)
