"""Every test that a page names, for a threat or for what was killed, is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGES = ("docs/explanation/security.md", "worker/README.md")
_NAME = re.compile(r"`((?:worker|e2e|builder)/test_\w+\.py)::(\w+)`")


def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_is_there(page: str) -> None:
    found = _NAME.findall((TESTS.parent / page).read_text(encoding="utf-8"))
    assert len(found) > 10
    assert [(file, name) for file, name in found if name not in functions_of(TESTS / file)] == []
