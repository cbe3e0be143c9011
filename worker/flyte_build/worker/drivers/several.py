"""Several images in one call: what is wrong with any of them is said before anything is built."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from flyte_build.registry.errors import FlyteBuildError, InvalidInput, InvalidSpec, Problem

T = TypeVar("T")


def all_of(prepared: Iterable[Callable[[], T]]) -> list[T]:
    """What every one of `prepared` gives. Raises the error of the one that is wrong, or, of several, one InvalidSpec
    with the problems of all. An error that is not in a spec, as of a registry that is away, ends it there.
    """
    done: list[T] = []
    wrong: list[FlyteBuildError] = []
    for prepare in prepared:
        try:
            done.append(prepare())
        except InvalidInput as error:
            wrong.append(error)
        except FlyteBuildError as error:
            wrong.append(error)
            break
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        problems = tuple(problem for error in wrong for problem in _problems(error))
        raise InvalidSpec(f"what is asked for {len(wrong)} images", problems)
    return done


def _problems(error: FlyteBuildError) -> tuple[Problem, ...]:
    if isinstance(error, InvalidSpec):
        return tuple(Problem(error.source, str(problem)) for problem in error.problems)
    return (Problem("", f"{error.sentence} ({error.hint})" if error.hint else error.sentence),)
