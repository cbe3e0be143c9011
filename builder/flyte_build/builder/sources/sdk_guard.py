"""What of the `flyte` SDK is understood: its versions, and the options of each kind of layer.

A newer SDK may give a layer an option that changes the image. Passed over, two different images would have one name;
so an option that is not known here, and is used, is refused.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from flyte_build.registry.errors import InvalidInput, Problem

FIRST, BEFORE = (2, 12), (3, 0)
_PIP = frozenset({"index_url", "extra_index_urls", "pre", "extra_args", "secret_mounts"})
_PLAIN = frozenset({"extra_args", "secret_mounts"})
# By class names, as of 2.12. `script_name` and `wheel_dir_name` repeat names of paths, `platforms` those of the image.
OPTIONS: dict[str, frozenset[str]] = {
    "AptPackages": frozenset({"packages", "secret_mounts"}),
    "PipPackages": _PIP | {"packages"},
    "Requirements": _PIP | {"packages", "file"},
    "UVProject": _PIP | {"pyproject", "uvlock", "project_install_mode"},
    "UVScript": _PIP | {"script", "script_name"},
    "PythonWheels": _PIP | {"wheel_dir", "wheel_dir_name", "package_name"},
    "PoetryProject": _PLAIN | {"pyproject", "poetry_lock", "project_install_mode"},
    "PixiProject": _PLAIN | {"manifest", "pixi_lock", "environment", "project_install_mode"},
    "PixiScript": _PLAIN | {"script", "script_name", "platforms", "environment"},
    "Commands": frozenset({"commands", "secret_mounts"}),
    "Env": frozenset({"env_vars"}),
    "WorkDir": frozenset({"workdir"}),
    "CopyConfig": frozenset({"path_type", "src", "dst"}),
    "CodeBundleLayer": frozenset({"copy_style", "dst", "root_dir"}),
    "DockerIgnore": frozenset({"path"}),
    "_DockerLines": frozenset({"lines"}),
}


def require_version(version: str | None = None) -> None:
    """Raises InvalidInput when the SDK that is loaded (or `version`) is not one whose images are understood."""
    version = str(getattr(sys.modules.get("flyte"), "__version__", "")) if version is None else version
    match = re.match(r"(\d+)\.(\d+)", version)
    number = (int(match[1]), int(match[2])) if match else (0, 0)
    if not FIRST <= number < BEFORE:
        raise InvalidInput(
            f"images of flyte {version or 'of an unknown version'} are not understood",
            hint=f"install flyte>={FIRST[0]}.{FIRST[1]},<{BEFORE[0]}, or another flyte-build",
        )


def unknown_options(layer: Any) -> Iterator[Problem]:  # noqa: ANN401 - a layer of the SDK's
    """A problem for each option of `layer` that is used and not known here."""
    kind = type(layer).__name__
    if is_dataclass(layer) and kind in OPTIONS:
        for field in fields(layer):
            if field.name in OPTIONS[kind]:
                continue
            usual = field.default_factory() if field.default_factory is not MISSING else field.default
            if getattr(layer, field.name, usual) != usual:
                yield Problem(field.name, f"is an option of {kind} that this flyte-build does not know; upgrade it")
    lines = getattr(layer, "lines", ()) if kind == "_DockerLines" else ()
    for line in lines:
        if str(line).split(maxsplit=1)[:1] not in (["LABEL"], []):
            yield Problem("", f"is a Dockerfile's line that is not supported: {str(line)[:60]!r}; use a command")
