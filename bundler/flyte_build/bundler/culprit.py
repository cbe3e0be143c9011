"""Why something cannot be pickled: the way of attributes to the smallest part that cannot."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator, Mapping

_DEEP = 40
_WIDE = 500


def find_culprit(value: object, pickles: Callable[[object], bool]) -> tuple[str, object]:
    """(way, part): the deepest part of `value` that does not pickle by itself, and how it is reached from `value`.

    The way reads like Python: `.model['lock']`, `<captured lock>`. It is empty when `value` itself is to blame.
    """
    way, seen = "", {id(value)}
    for _ in range(_DEEP):
        for name, part in _parts(value):
            if id(part) not in seen and not pickles(part):
                way, value = way + name, part
                seen.add(id(part))
                break
        else:
            break
    return way, value


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """What `value` is made of, each with how it is reached; at most 500."""
    kinds: tuple[tuple[type | tuple[type, ...], Callable[[object], Iterator[tuple[str, object]]]], ...] = (
        (types.FunctionType, _of_function),
        (types.MethodType, _of_method),
        (functools.partial, _of_partial),
        (dict, _of_mapping),
        ((list, tuple, set, frozenset), _of_sequence),
    )
    read = next((read for kind, read in kinds if isinstance(value, kind)), _of_object)
    for count, part in enumerate(read(value)):
        if count >= _WIDE:
            return
        yield part


def _of_function(value: object) -> Iterator[tuple[str, object]]:
    assert isinstance(value, types.FunctionType)  # noqa: S101 - for mypy; `_parts` looked
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        try:
            yield f"<captured {name}>", cell.cell_contents
        except ValueError:
            continue
    for name in _global_names(value.__code__):
        if name in value.__globals__:
            yield f"<global {name}>", value.__globals__[name]
    for number, default in enumerate(value.__defaults__ or ()):
        yield f"<default {number}>", default
    for name, default in (value.__kwdefaults__ or {}).items():
        yield f"<default {name}>", default
    yield from ((f".{name}", part) for name, part in vars(value).items())


def _global_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _global_names(inner)


def _of_method(value: object) -> Iterator[tuple[str, object]]:
    assert isinstance(value, types.MethodType)  # noqa: S101
    yield ".__self__", value.__self__
    yield ".__func__", value.__func__


def _of_partial(value: object) -> Iterator[tuple[str, object]]:
    assert isinstance(value, functools.partial)  # noqa: S101
    yield ".func", value.func
    yield from ((f".args[{number}]", part) for number, part in enumerate(value.args))
    yield from ((f".keywords[{name!r}]", part) for name, part in value.keywords.items())


def _of_mapping(value: object) -> Iterator[tuple[str, object]]:
    assert isinstance(value, dict)  # noqa: S101
    for key, part in value.items():
        shown = repr(key) if isinstance(key, (str, int)) else f"<{type(key).__name__}>"
        yield f"[{shown[:60]}]", part


def _of_sequence(value: object) -> Iterator[tuple[str, object]]:
    assert isinstance(value, (list, tuple, set, frozenset))  # noqa: S101
    yield from ((f"[{number}]", part) for number, part in enumerate(value))


def _of_object(value: object) -> Iterator[tuple[str, object]]:
    state = getattr(value, "__dict__", None)
    if isinstance(state, Mapping) and not isinstance(value, types.ModuleType):
        yield from ((f".{name}", part) for name, part in list(state.items()) if not _is_own(value, name))
    for kind in type(value).__mro__:
        names = kind.__dict__.get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if hasattr(value, name) and name not in ("__dict__", "__weakref__"):
                yield f".{name}", getattr(value, name)


def _is_own(value: object, name: str) -> bool:
    """Whether a class's attribute is of the machinery that every class has."""
    return isinstance(value, type) and name in ("__dict__", "__weakref__", "__doc__", "__module__", "__mro__")
