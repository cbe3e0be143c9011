"""What a Python source asks for: imports wherever they stand, names of resources, files of a task's environment. Pure.

Nothing is executed. Imports inside functions, under `TYPE_CHECKING` and in `try` count like all others, and so does
`import_module` of a literal; what is put together at run time is reported and not followed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A module that is asked for in `line`: its absolute dotted `name`; `star` asks for what `__all__` lists too."""

    name: str
    line: int
    star: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """What one source asks for. `resources` are packages whose files are opened, `files` globs beside the source."""

    modules: tuple[Wanted, ...] = ()
    resources: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    exported: tuple[str, ...] = ()
    unknown: tuple[int, ...] = ()


def read_asks(source: bytes, package: str) -> Asks:
    """What `source`, whose `__package__` is `package`, asks for. Raises SyntaxError or ValueError for no Python."""
    wanted: list[Wanted] = []
    resources: list[str] = []
    files: list[str] = []
    unknown: list[int] = []
    exported: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            wanted.extend(Wanted(name=alias.name, line=node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            wanted.extend(_from(node, package))
        elif isinstance(node, ast.Call):
            _read_call(node, package, wanted, resources, files, unknown)
        elif isinstance(node, ast.Assign) and any(_named(target) == "__all__" for target in node.targets):
            exported.extend(_texts(node.value))
    return Asks(
        modules=tuple(wanted),
        resources=tuple(resources),
        files=tuple(files),
        exported=tuple(exported),
        unknown=tuple(unknown),
    )


def _from(node: ast.ImportFrom, package: str) -> Iterator[Wanted]:
    base = absolute("." * node.level + (node.module or ""), package)
    if not base:
        return
    yield Wanted(name=base, line=node.lineno, star=any(alias.name == "*" for alias in node.names))
    # `from a import b` may mean the module a.b; whoever looks for it finds out.
    for alias in node.names:
        if alias.name != "*":
            yield Wanted(name=f"{base}.{alias.name}", line=node.lineno)


def absolute(name: str, package: str) -> str:
    """`name` with its leading dots resolved in `package`; empty when it leads out (as `import` does, PEP 328)."""
    level = len(name) - len(name.lstrip("."))
    if not level:
        return name
    parts = package.split(".") if package else []
    if level > len(parts):
        return ""
    return ".".join([*parts[: len(parts) - level + 1], *([name[level:]] if name[level:] else [])])


def _read_call(
    node: ast.Call,
    package: str,
    wanted: list[Wanted],
    resources: list[str],
    files: list[str],
    unknown: list[int],
) -> None:
    called = _named(node.func)
    if called in ("import_module", "__import__") and node.args:
        name = _text(node.args[0])
        if name is None:
            unknown.append(node.lineno)
        elif found := absolute(name, package):
            wanted.append(Wanted(name=found, line=node.lineno))
    elif called in ("files", "read_text", "read_binary", "open_text", "open_binary", "get_data") and node.args:
        anchor = package if _named(node.args[0]) in ("__package__", "__name__") else _text(node.args[0])
        if anchor:
            resources.append(anchor)
    elif called.endswith("Environment"):
        files.extend(text for word in node.keywords if word.arg == "include" for text in _texts(word.value))


def _named(node: ast.expr) -> str:
    """The last part of a dotted name, or nothing."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _texts(node: ast.expr) -> list[str]:
    items = node.elts if isinstance(node, (ast.List, ast.Tuple)) else []
    return [text for item in items if (text := _text(item)) is not None]
