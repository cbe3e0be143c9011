"""What changed between two plans, in sentences. Pure; works on decoded plans, so that a plan of any age can be read."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flyte_build.builder.installs import PINNED_ARGUMENTS

Document = Mapping[str, Any]
_MOST = 40
_LONGEST = 160
_LOCKED = {
    (True, True): "what flyte-build.lock pins changed",
    (True, False): "was pinned by flyte-build.lock and is as written",
    (False, True): "was as written and is pinned by flyte-build.lock",
}
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def differences(old: Document, new: Document) -> tuple[str, ...]:
    """One sentence for each thing of `new` that is not as in `old` (decoded canonical JSON of two plans).

    At most 40; the last then says how many more there are. Empty for equal plans.
    """
    said = [*_fields(old, new, leave_out=("layers",)), *_layers(_list(old, "layers"), _list(new, "layers"))]
    if len(said) > _MOST:
        said[_MOST - 1 :] = [f"and {len(said) - _MOST + 1} more"]
    return tuple(said)


def _list(document: Document, key: str) -> Sequence[Document]:
    value = document.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _layers(old: Sequence[Document], new: Sequence[Document]) -> Iterator[str]:
    matcher = difflib.SequenceMatcher(
        a=[_text(layer) for layer in old], b=[_text(layer) for layer in new], autojunk=False
    )
    for what, start, end, new_start, new_end in matcher.get_opcodes():
        if what != "equal":
            yield from _replaced(old[start:end], new[new_start:new_end], new_start)


def _replaced(old: Sequence[Document], new: Sequence[Document], place: int) -> Iterator[str]:
    """Layers that stand for each other are those of the same kind, in their order."""
    left = list(old)
    for number, layer in enumerate(new, start=place):
        same = next((one for one in left if one.get("kind") == layer.get("kind")), None)
        where = f"layer {number + 1} ({layer.get('kind')})"
        if same is None:
            yield f"{where} is new"
            continue
        left.remove(same)
        changed = [f"{where}: {sentence}" for sentence in _layer(same, layer)]
        yield from changed or [f"{where} stands elsewhere"]
    for layer in left:
        yield f"a layer ({layer.get('kind')}) is gone"


def _layer(old: Document, new: Document) -> Iterator[str]:
    """What changed between two layers of a kind; of what is pinned, whether it is: its file is no person's."""
    was, now = _is_locked(old), _is_locked(new)
    if not (was or now):
        yield from _fields(old, new)
        return
    left, right = _unlocked(old, was), _unlocked(new, now)
    if was != now or old.get("tree") != new.get("tree"):
        yield _LOCKED[was, now] if old.get("kind") == "pip" else "what the project's lock pins changed"
    yield from _fields(left, right, leave_out=("packages", "requirements", "tree"))


def _is_locked(layer: Document) -> bool:
    arguments = _options(layer).get("extra_args")
    pinned = isinstance(arguments, str) and arguments.endswith(PINNED_ARGUMENTS)
    return layer.get("kind") == "pins" or (layer.get("kind") == "pip" and pinned)


def _unlocked(layer: Document, locked: bool) -> Document:
    if not locked or layer.get("kind") != "pip":
        return layer
    options = _options(layer)
    arguments = str(options.get("extra_args", "")).removesuffix(PINNED_ARGUMENTS).strip()
    return {**layer, "options": {**options, "extra_args": arguments}}


def _options(layer: Document) -> Document:
    options = layer.get("options")
    return options if isinstance(options, dict) else {}


def _fields(old: Document, new: Document, *, leave_out: tuple[str, ...] = ()) -> Iterator[str]:
    for key in sorted({*old, *new} - {*leave_out}):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _fields(before, after)
        elif isinstance(before, list) and isinstance(after, list):
            yield from _items(key, before, after)
        else:
            yield f"{key} was {_short(before)} and is {_short(after)}"


def _items(key: str, old: list[Any], new: list[Any]) -> Iterator[str]:
    before, after = ({_name(item): item for item in items} for items in (old, new))
    if key == "packages":
        moved = _moved({*before} - {*after}, {*after} - {*before})
        for was, now in moved.items():
            yield f"{was} is {now} now in {key}"
            del before[was], after[now]
    for name in sorted({*before, *after}):
        if name not in after:
            yield f"{name} is gone from {key}"
        elif name not in before:
            yield f"{name} is new in {key}"
        elif before[name] != after[name]:
            yield f"{name} changed in {key}"
    if {*before} == {*after} and sorted(map(_text, old)) == sorted(map(_text, new)):
        yield f"the order of {key} changed"


def _moved(gone: set[str], new: set[str]) -> dict[str, str]:
    """Requests of the same package, the old one and the new one, where there is one of each."""
    left, right = ({one: _package(one) for one in texts} for texts in (gone, new))
    once = [
        name for name in left.values() if name and [*left.values()].count(name) == [*right.values()].count(name) == 1
    ]
    return {
        next(one for one, name in left.items() if name == wanted): next(
            one for one, name in right.items() if name == wanted
        )
        for wanted in sorted(once)
    }


def _package(request: str) -> str:
    found = _PACKAGE.match(request)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def _name(item: Any) -> str:  # noqa: ANN401 - whatever a plan of any age holds
    """What a person calls an item of a list: a file by its path, a variable by its name, all else by itself."""
    if isinstance(item, dict):
        return str(item.get("path") or item.get("name") or _short(item))
    if isinstance(item, list) and item:
        return str(item[0])
    return _short(item)


def _short(value: Any) -> str:  # noqa: ANN401
    text = (value or "empty") if isinstance(value, str) else _text(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _text(value: Any) -> str:  # noqa: ANN401
    if value is None:
        return "nothing"
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
