"""Which objects of the store a run may see: those that its arguments and inputs name, and that are its project's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from flyte_build.worker.stores.keys import ObjectKey, is_native, key_of_native

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flyteidl2.task.common_pb2 import Inputs

    from flyte_build.worker.runs.values import ActionName


def objects_of(args: tuple[str, ...], inputs: Inputs, name: ActionName) -> tuple[ObjectKey, ...]:
    """The objects named by an argument or anywhere in the inputs, each once.

    Raises ServiceDenied when one looks like an object of this store but was not issued to this project.
    """
    named = [text for text in (*args, *texts(inputs)) if is_native(text)]
    return tuple(dict.fromkeys(key_of_native(text, name.project, name.domain) for text in named))


def texts(value: object) -> Iterator[str]:
    """Every text in a message, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Message):
        for _, inner in value.ListFields():
            yield from texts(inner)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, Iterable) and not isinstance(value, bytes):
        for inner in value:
            yield from texts(inner)
