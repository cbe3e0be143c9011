"""Inline metadata of a script (PEP 723). Pure."""

from __future__ import annotations

import re
from typing import Any

from flyte_build.builder import uv_lock
from flyte_build.registry.errors import InvalidInput

# The block as the PEP's section "Specification" has it.
_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)[ \t]*\n(?P<content>(?:^#(?:| .*)\n)+)^# ///[ \t]*$")


def inline_metadata(text: str, name: str) -> dict[str, Any]:
    """The `script` block of a script. Raises InvalidInput when it has none, several, or one that is not TOML."""
    lines = text.replace("\r\n", "\n") + "\n"
    blocks = [match["content"] for match in _BLOCK.finditer(lines) if match["type"] == "script"]
    if len(blocks) != 1:
        said = "several" if blocks else "no"
        raise InvalidInput(f"{name} has {said} inline metadata", hint="it is one block from `# /// script` to `# ///`")
    content = "".join(line[2:] if line.startswith("# ") else line[1:] for line in blocks[0].splitlines(keepends=True))
    document = uv_lock.parse(content, f"the metadata of {name}")
    dependencies = document.get("dependencies", [])
    if not isinstance(dependencies, list) or not all(isinstance(one, str) for one in dependencies):
        raise InvalidInput(f"the metadata of {name}: dependencies is not a list of text")
    return document
