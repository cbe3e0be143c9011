"""Typed getters over a decoded document. Every problem is collected with its dotted path; none is raised. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from flyte_build.registry.errors import Problem


class Fields:
    """One table of a document, `path` its place in it."""

    def __init__(self, table: Mapping[str, Any], path: str, problems: list[Problem]) -> None:
        self._table = table
        self._path = path
        self._problems = problems
        self._meant: set[str] = set()

    def problem(self, key: str, message: str) -> None:
        """Note that `key` (empty: the table itself) is wrong."""
        self._problems.append(Problem(self._place(key), message))

    def below(self, key: str, table: Mapping[str, Any]) -> Fields:
        """A table inside this one."""
        return Fields(table, self._place(key), self._problems)

    def keys(self) -> tuple[str, ...]:
        """The keys as written."""
        return tuple(self._table)

    def only(self, known: Iterable[str]) -> None:
        """Every other key is a problem, said with the nearest known one; that one is then not missing as well."""
        known = tuple(known)
        for key in self._table:
            if key not in known:
                near = nearest(key, known)
                suggestion = f"did you mean {near!r}?" if near else f"known keys: {', '.join(known)}"
                self.problem(key, f"is not known; {suggestion}")
                self._meant.add(near)

    def is_meant(self, key: str) -> bool:
        """Whether another key was taken for a misspelt `key`."""
        return key in self._meant

    def text(self, key: str) -> str | None:
        """A string, or None when absent."""
        value = self._table.get(key)
        if value is None or isinstance(value, str):
            return value
        self.problem(key, f"is {_kind(value)}, not text; put it in quotes")
        return None

    def required_text(self, key: str) -> str:
        """A string that must be there and not be empty."""
        value = self.text(key)
        if value == "":
            self.problem(key, "is empty")
        elif key not in self._table and not self.is_meant(key):
            self.problem(key, "is missing")
        return value or ""

    def flag(self, key: str) -> bool:
        """A boolean, False when absent."""
        value = self._table.get(key, False)
        if isinstance(value, bool):
            return value
        self.problem(key, f"is {_kind(value)}, not true or false")
        return False

    def whole(self, key: str) -> int:
        """A whole number that is not negative, 0 when absent."""
        value = self._table.get(key, 0)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self.problem(key, "is not a whole number of 0 or more")
        return 0

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings, empty when absent."""
        value = self._table.get(key, [])
        if isinstance(value, str):
            self.problem(key, f'is text, not a list; write ["{value}"]')
        elif not isinstance(value, list):
            self.problem(key, f"is {_kind(value)}, not a list of text")
        else:
            for number, item in enumerate(value):
                if not isinstance(item, str):
                    self.problem(f"{key}[{number}]", f"is {_kind(item)}, not text; put it in quotes")
            return tuple(item for item in value if isinstance(item, str))
        return ()

    def text_table(self, key: str) -> dict[str, str]:
        """A table of strings, empty when absent."""
        value = self._table.get(key, {})
        if not isinstance(value, dict):
            self.problem(key, f'is {_kind(value)}, not a table; write {{ NAME = "value" }}')
            return {}
        inner = self.below(key, value)
        return {name: inner.text(name) or "" for name in value}

    def tables(self, key: str) -> tuple[Fields, ...]:
        """A list of tables, empty when absent."""
        value = self._table.get(key, [])
        heading = re.sub(r"\[\d+\]", "", self._place(key))
        if not isinstance(value, list):
            self.problem(key, f"is {_kind(value)}, not a list of tables; write [[{heading}]]")
            return ()
        for number, item in enumerate(value):
            if not isinstance(item, dict):
                self.problem(f"{key}[{number}]", f"is {_kind(item)}, not a table; write [[{heading}]]")
        return tuple(
            self.below(f"{key}[{number}]", item) for number, item in enumerate(value) if isinstance(item, dict)
        )

    def anything(self, key: str) -> tuple[Any, ...]:
        """A list of whatever, empty when absent."""
        value = self._table.get(key, [])
        if isinstance(value, list):
            return tuple(value)
        self.problem(key, f"is {_kind(value)}, not a list")
        return ()

    def _place(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path and key else self._path or key


def nearest(key: str, known: Iterable[str]) -> str:
    """The known key that is most like this one; empty when none is like it."""
    return next(iter(difflib.get_close_matches(key, tuple(known), n=1)), "")


def _kind(value: Any) -> str:  # noqa: ANN401 - whatever the document holds
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "a table"}
    return names.get(type(value), f"a {type(value).__name__}")
