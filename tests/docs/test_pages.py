"""The documentation is true where that can be told without running it: links, quoted errors, what is made from code."""

from __future__ import annotations

import ast
import json
import re
import runpy
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from flyte_build.worker.access import rules_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]


def _room(name: str) -> list[str]:
    return list(import_module(f"flyte_build.{name}").__path__)


FOLDERS = ("benchmarks", "builder", "bundler", "docs", "examples", "images", "registry", "tests", "worker")
READMES = (page for folder in FOLDERS for page in (ROOT / folder).rglob("README.md"))
PAGES = sorted(
    {page.relative_to(ROOT).as_posix() for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *READMES)}
)
# Where it is imported from: an installed wheel has no folders of ours.
CODE = [Path(place) for room in ("registry", "builder", "bundler", "worker") for place in _room(room)]
_BLOCK = re.compile(r"(?:^<!-- (file|not run): (.+?) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def _prose(page: str) -> str:
    return _SPAN.sub("``", _FENCE.sub("", (ROOT / page).read_text(encoding="utf-8")))


def _anchor(heading: str) -> str:
    """As GitHub makes it: lower case, no punctuation, blanks to hyphens."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    for link in _LINK.findall(_prose(page)):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page} links to {link}"
        if anchor:
            text = _FENCE.sub("", target.read_text(encoding="utf-8"))
            headings = [_anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
            assert anchor in headings, f"{page} links to {link}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_says_what_it_is(folder: str) -> None:
    assert (ROOT / folder / "README.md").exists() or not (ROOT / folder).exists()


@pytest.mark.parametrize("page", PAGES)
def test_every_example_can_be_read_by_what_it_is_for(page: str) -> None:
    """Commands are run by tests/e2e/test_docs.py; the rest must at least be in the language that it says."""
    for mark, _, language, text in _BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        match language:
            case "toml":
                document = tomllib.loads(text)
                if "allow" in document or "token" in document:
                    rules_file.parse(text, page)
            case "yaml":
                yaml.safe_load(text)
            case "python":
                ast.parse(text)
            case "json":
                json.loads(text)
            case "sh" | "dockerfile" | "sql" | "text":
                assert mark, f"{page} has a block that nobody runs, and does not say why"
            case _:
                assert language in ("", "console"), (
                    f"{page}: write ```console, so that it is run, and not ```{language}"
                )


def test_every_page_of_the_documentation_is_linked_from_its_front() -> None:
    front = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert name == "README.md" or f"({name})" in front, name


@cache
def _sources() -> tuple[str, ...]:
    """Each module's text, with neighbouring strings joined as Python joins them."""
    texts = (file.read_text(encoding="utf-8") for folder in CODE for file in folder.rglob("*.py"))
    return tuple(re.sub(r"\"\s*\n\s*f?\"", "", text) for text in texts)


def _quoted() -> list[str]:
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def _is_said(message: str) -> bool:
    """Whether one line of one module has all the parts of a message, in order; `…` is anything."""
    parts = (re.escape(part) for part in message.split("…"))
    pattern = re.compile(".*?".join(parts))
    return any(pattern.search(line) for text in _sources() for line in text.splitlines())


def test_there_are_errors_to_be_looked_up() -> None:
    assert len(_quoted()) > 20
    assert not _is_said("a sentence that nobody … ever wrote")


@pytest.mark.parametrize("message", _quoted())
def test_an_error_that_is_explained_is_one_that_the_code_says(message: str) -> None:
    assert _is_said(message)


def test_every_variable_of_ours_is_explained() -> None:
    meanings = runpy.run_path(str(ROOT / "docs/generate.py"))["variables"]()
    assert len(meanings) > 10
    assert [name for name, meaning in meanings.items() if not meaning] == [], "say it in VARIABLES of docs/generate.py"


def test_the_reference_is_what_the_code_says_now() -> None:
    pages = runpy.run_path(str(ROOT / "docs/generate.py"))
    found = {page.name for page in (ROOT / "docs/reference").glob("*.md")}
    assert found == set(pages["PAGES"])
    for name, made in pages["PAGES"].items():
        text = (ROOT / "docs/reference" / name).read_text(encoding="utf-8")
        assert text == pages["HEAD"] + made(), f"docs/reference/{name} is stale: run `make docs`"
