"""Every test that a page names, for a threat or for what was killed, is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGES = ("docs/explanation/security.md", "worker/README.md")
_NAME = re.compile(r"`(\w+/test_\w+\.py)::(test_\w+)`")
# Of the tables of what somebody tries and of what was killed.
_ROW = re.compile(r"^\| (?:somebody tries|what) \| [^|]*shown[^|]*\|\n\|[-| ]+\|\n((?:\|.*\n)+)", re.M)


def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_is_there(page: str) -> None:
    text = (TESTS.parent / page).read_text(encoding="utf-8")
    found = _NAME.findall(text)
    assert len(found) == text.count(".py::") > 10, "every name is looked for"
    (table,) = _ROW.findall(text)
    assert [row for row in table.splitlines() if not _NAME.search(row)] == []
    assert [(file, name) for file, name in found if name not in functions_of(TESTS / file)] == []
