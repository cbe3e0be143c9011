"""Projects of the tests: small ones of every kind, as files."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from tests.builder.doubles import write

from flyte_build.builder.recipe import POETRY_VERSION
from flyte_build.builder.uv import host_uv
from flyte_build.builder.uv_lock import public_index

WORKSPACE = {
    "pyproject.toml": """
[project]
name = "app"
version = "0.1"
requires-python = ">=3.10"
dependencies = ["idna>=3.6", "member", "lib", "colorama; sys_platform == 'win32'"]
[project.optional-dependencies]
more = ["six"]
[dependency-groups]
dev = ["iniconfig"]
[tool.uv.workspace]
members = ["member"]
[tool.uv.sources]
member = {workspace = true}
lib = {path = "other/lib", editable = true}
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
""",
    "src/app/__init__.py": "import member, lib",
    "member/pyproject.toml": """
[project]
name = "member"
version = "0.1"
dependencies = ["tomli"]
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
""",
    "member/src/member/__init__.py": "SAYS = 'member'",
    "other/lib/pyproject.toml": """
[project]
name = "lib"
version = "0.1"
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
""",
    "other/lib/src/lib/__init__.py": "SAYS = 'lib'",
}


def _package(name: str, source: str, more: str = "") -> str:
    return f'[[package]]\nname = "{name}"\nversion = "1.0"\nsource = {{ {source} }}\n{more}\n'


def _registry(name: str) -> str:
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    wheel = f'url = "https://files.test/{name}-1.0-py3-none-any.whl", hash = "sha256:{sha256}"'
    return _package(name, f'registry = "{public_index()}"', f"wheels = [ {{ {wheel} }} ]\n")


# As uv writes it, with versions of the tests' own, so that no index is needed.
LOCK = (
    'version = 1\nrevision = 3\nrequires-python = ">=3.10"\n\n[manifest]\nmembers = ["app", "member"]\n\n'
    + _package(
        "app",
        'editable = "."',
        """dependencies = [
    { name = "colorama", marker = "sys_platform == 'win32'" },
    { name = "idna" },
    { name = "lib" },
    { name = "member" },
]

[package.optional-dependencies]
more = [{ name = "six" }]

[package.dev-dependencies]
dev = [{ name = "iniconfig" }]

[package.metadata]
requires-dist = [
    { name = "colorama", marker = "sys_platform == 'win32'" },
    { name = "idna", specifier = ">=3.6" },
    { name = "lib", editable = "other/lib" },
    { name = "member", editable = "member" },
    { name = "six", marker = "extra == 'more'" },
]
provides-extras = ["more"]

[package.metadata.requires-dev]
dev = [{ name = "iniconfig" }]
""",
    )
    + "".join(_registry(name) for name in ("colorama", "idna", "iniconfig"))
    + _package("lib", 'editable = "other/lib"')
    + _package(
        "member",
        'editable = "member"',
        'dependencies = [{ name = "tomli" }]\n[package.metadata]\nrequires-dist = [{ name = "tomli" }]\n',
    )
    + "".join(_registry(name) for name in ("six", "tomli"))
)

POETRY_LOCK = """
[[package]]
name = "idna"
version = "3.7"
optional = false
python-versions = ">=3.6"
files = []

[[package]]
name = "iniconfig"
version = "2.0.0"
optional = false
python-versions = ">=3.6"
files = []

[metadata]
lock-version = "2.1"
python-versions = ">=3.10"
content-hash = "0"
"""

POETRY = {
    "pyproject.toml": """
[project]
name = "app"
version = "0.1"
requires-python = ">=3.10"
dependencies = ["idna>=3.6"]
[tool.poetry]
packages = [{include = "app", from = "src"}]
# Every index has the simple pages; not every mirror has the JSON that Poetry asks the default one for.
[[tool.poetry.source]]
name = "simple"
url = "PUBLIC_INDEX/"
priority = "primary"
[tool.poetry.group.dev.dependencies]
iniconfig = "*"
[build-system]
requires = ["poetry-core>=2"]
build-backend = "poetry.core.masonry.api"
""".replace("PUBLIC_INDEX", public_index()),
    "src/app/__init__.py": "SAYS = 'app'",
}

SCRIPT = """# /// script
# requires-python = ">=3.10"
# dependencies = [
#   "idna<3.8",
#   "app @ file://{project}",
# ]
# ///
print("hi")
"""


def workspace(root: Path) -> Path:
    """A locked uv project with a workspace member and an editable path dependency, at `root`."""
    write(root, WORKSPACE)
    uv("lock", cwd=root)
    return root


def poetry(root: Path) -> Path:
    """A locked Poetry project at `root`."""
    write(root, POETRY)
    uv("tool", "run", "--from", f"poetry=={POETRY_VERSION}", "poetry", "lock", cwd=root)
    return root


def wheels(root: Path) -> Path:
    """A folder `dist` with a wheel of `member`, and one of `lib`, at `root`."""
    write(root, WORKSPACE)
    uv("build", "--wheel", "--out-dir", str(root / "dist"), "member", cwd=root)
    uv("build", "--wheel", "--out-dir", str(root / "dist"), "other/lib", cwd=root)
    return root / "dist"


def uv(*argv: str, cwd: Path) -> None:
    """uv on this machine."""
    subprocess.run([str(host_uv()), *argv], cwd=cwd, check=True, capture_output=True, timeout=300)
