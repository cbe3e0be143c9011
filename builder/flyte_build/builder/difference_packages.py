"""Which packages another lock would install, against what is installed in an image. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from flyte_build.builder.installed import Installed
from flyte_build.registry.descriptors import Platform

_MOST = 12
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}

Versions = Mapping[str, set[str]]


def package_changes(
    installed: Sequence[Installed], pins: Iterable[str], *, python: str | None, everything: bool
) -> tuple[str, ...]:
    """A sentence for each Python package whose version is another one: at most 12, the last of which says how many
    more there are.

    `pins` are lines of requirements with exact versions, for that `python` (None: nobody knows which, and what is only
    for some is passed over). With `everything` they are all that will be installed where they are, so that what they
    lack is gone.
    """
    wanted = _pinned(pins, [_environment(python, one.platform) for one in installed] if python else [])
    found, beside = _found(installed, wanted)
    said = [*_changed(found, wanted)]
    if everything:
        said += [f"{name} {_text(versions)} is gone" for name, versions in sorted(beside.items())]
    if len(said) > _MOST:
        said[_MOST - 1 :] = [f"and {len(said) - _MOST + 1} more packages"]
    return tuple(said)


def _changed(found: Versions, wanted: Versions) -> Iterator[str]:
    for name, versions in sorted(wanted.items()):
        if name not in found:
            yield f"{name} {_text(versions)} is new"
        elif found[name] != versions:
            yield f"{name} {_text(found[name])} is {_text(versions)} now"


def _pinned(pins: Iterable[str], environments: Sequence[Mapping[str, str]]) -> Versions:
    """The versions of each package that would be installed in one of the environments."""
    versions = defaultdict[str, set[str]](set)
    for line in pins:
        try:
            pin = Requirement(line.partition(" --hash=")[0])
        except InvalidRequirement:
            continue
        if pin.marker is None or any(pin.marker.evaluate(dict(one)) for one in environments):
            versions[canonicalize_name(pin.name)].add(str(pin.specifier).removeprefix("=="))
    return versions


def _environment(python: str, platform: Platform) -> dict[str, str]:
    """PEP 508, of CPython on Linux."""
    machine = _MACHINES.get(platform.architecture, platform.architecture)
    known = {"python_version": python, "python_full_version": f"{python}.0", "implementation_version": f"{python}.0"}
    system = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": machine}
    return {
        **known,
        **system,
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "extra": "",
    }


def _found(installed: Iterable[Installed], wanted: Versions) -> tuple[Versions, Versions]:
    """The versions of what is pinned, and of what else is in the same environment: a base may have one of its own."""
    packages = [one for image in installed for one in image.packages if one.kind == "pypi"]
    places = Counter(one.place for one in packages if canonicalize_name(one.name) in wanted)
    place = places.most_common(1)[0][0] if places else None
    found, beside = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for one in packages:
        if one.place == place:
            name = canonicalize_name(one.name)
            (found if name in wanted else beside)[name].add(one.version)
    return found, beside


def _text(versions: Iterable[str]) -> str:
    return " or ".join(sorted(versions))
