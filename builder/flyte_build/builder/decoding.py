"""Canonical JSON -> the plan that it is of, and nothing that is not exactly what `canonical.encode` writes. Pure.

What comes is from somebody else: every key and type is checked, and at the end the plan is encoded again and must
give the same bytes. Whether the plan makes sense is `check_plan`'s business.
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from flyte_build.builder.canonical import encode
from flyte_build.builder.plan import DockerfilePlan, LayersPlan
from flyte_build.builder.recipe import RECIPE
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.names import Digest

MAX_PLAN = 4 << 20
_LONGEST_NUMBER = 18
_PLANS = {plan.kind: plan for plan in (LayersPlan, DockerfilePlan)}


class UnknownRecipe(InvalidInput):
    """A plan by rules that are not known here."""


def decode(data: bytes) -> LayersPlan | DockerfilePlan:
    """The plan whose canonical encoding is `data` (of at most MAX_PLAN bytes).

    Raises UnknownRecipe, which says who is too old, and InvalidInput for anything else that is no plan.
    """
    document = _document(data)
    kind = _PLANS.get(str(document.get("kind")))
    if kind is None:
        raise _wrong("kind", "is that of no plan")
    _require_known(document.get("recipe"))
    try:
        plan: LayersPlan | DockerfilePlan = _value(kind, document, "")
        same = encode(plan) == data
    except RecursionError as error:
        raise InvalidInput("the plan is nested too deeply") from error
    if not same:
        raise InvalidInput("the plan is not in the canonical encoding, so its digest would not be its name")
    return plan


def _document(data: bytes) -> dict[str, object]:
    if len(data) > MAX_PLAN:
        raise InvalidInput(f"the plan has {len(data):,} bytes, and {MAX_PLAN:,} is the most", hint="copy fewer files")
    try:
        document = json.loads(data.decode(), parse_int=_number, parse_float=_number, parse_constant=_number)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("the plan is not JSON that a plan could be") from error
    if not isinstance(document, dict):
        raise InvalidInput("the plan is not a JSON object")
    return document


def _number(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(text[:_LONGEST_NUMBER])
    return int(text)


def _require_known(recipe: object) -> None:
    if type(recipe) is not int:
        raise _wrong("recipe", "is not a number")
    if recipe == RECIPE:
        return
    older = "the builder is older than the client: upgrade the build service"
    newer = "the client is older than the builder: upgrade flyte-build where the plan was made"
    raise UnknownRecipe(
        f"the plan is made by recipe {recipe}, and this builder knows recipe {RECIPE}",
        hint=older if recipe > RECIPE else newer,
    )


def _value(kind: Any, found: object, place: str) -> Any:  # noqa: ANN401 - whatever a plan holds
    if get_origin(kind) in (Union, UnionType):
        kind = _chosen(get_args(kind), found, place)
    if get_origin(kind) is tuple:
        return _tuple(get_args(kind), found, place)
    if is_dataclass(kind) and kind not in (Digest, Platform):
        return _keyed(kind, found, place)
    if kind in (Digest, Platform):
        return _named(kind, found, place)
    if type(found) is not kind:
        raise _wrong(place, f"is not {kind.__name__}")
    return found


def _chosen(kinds: tuple[Any, ...], found: object, place: str) -> Any:  # noqa: ANN401
    if found is None and NoneType in kinds:
        return NoneType
    said = found.get("kind") if isinstance(found, dict) else None
    fitting = [kind for kind in kinds if kind is not NoneType and getattr(kind, "kind", None) == said]
    if len(fitting) != 1:
        raise _wrong(place, "is of no known kind")
    return fitting[0]


def _tuple(kinds: tuple[Any, ...], found: object, place: str) -> tuple[object, ...]:
    if not isinstance(found, list):
        raise _wrong(place, "is not a list")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(found)
    if len(kinds) != len(found):
        raise _wrong(place, f"has not {len(kinds)} items")
    return tuple(
        _value(kind, one, f"{place}[{number}]") for number, (kind, one) in enumerate(zip(kinds, found, strict=True))
    )


def _keyed(kind: Any, found: object, place: str) -> object:  # noqa: ANN401
    types, said = _fields(kind), getattr(kind, "kind", None)
    expected = {*types, "kind"} if said is not None else set(types)
    if not isinstance(found, dict) or set(found) != expected or found.get("kind", said) != said:
        raise _wrong(place, f"is not what a {kind.__name__} is made of")
    return kind(**{name: _value(one, found[name], f"{place}.{name}".lstrip(".")) for name, one in types.items()})


@lru_cache(maxsize=64)
def _fields(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _named(kind: Any, found: object, place: str) -> object:  # noqa: ANN401
    if not isinstance(found, str):
        raise _wrong(place, "is not text")
    return kind.parse(found)


def _wrong(place: str, what: str) -> InvalidInput:
    return InvalidInput(f"{place[:120] or 'the whole'} of the plan {what}")
