"""How an action ended, from what its container left behind. All of it is hostile: links, sizes and contents."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from flyteidl2.core.execution_pb2 import ErrorDocument, ExecutionError
from flyteidl2.task.common_pb2 import Outputs
from google.protobuf.message import DecodeError

from flyte_build.worker.runs.launch import ATTEMPT, NESTED_REFUSAL, NO_NESTED_TASKS
from flyte_build.worker.runs.values import Failure
from flyte_build.worker.stores.logs import clean

if TYPE_CHECKING:
    from pathlib import Path

    from flyte_build.worker.runs.container import Exit

_MAX_OUTPUT = 10 * 2**20
_MAX_MESSAGE = 65536
_NESTED = (
    "the task started another task, and this endpoint runs one task per run: call the function itself "
    "(for a task `t`, `t.func(…)`), or run it on a Flyte cluster"
)


def read_left(root: Path, parts: tuple[str, ...], limit: int = _MAX_OUTPUT) -> bytes | None:
    """The regular file at `parts` below `root`, without following a single link; None when there is none.

    ValueError when it is larger than `limit` or cannot be read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    directory = os.open(root, flags | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, flags | os.O_DIRECTORY, dir_fd=directory)
            os.close(directory)
            directory = inner
        file = os.open(parts[-1], flags, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"{parts[-1]} cannot be read: {error.strerror}") from error
    finally:
        os.close(directory)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            raise ValueError(f"{parts[-1]} is not a file of at most {limit} bytes")
        with os.fdopen(os.dup(file), "rb") as stream:
            data = stream.read(limit + 1)
    finally:
        os.close(file)
    if len(data) > limit:
        raise ValueError(f"{parts[-1]} is larger than {limit} bytes")
    return data


def outcome_of(work: Path, action: str, ended: Exit, tail: str) -> bytes | Failure:
    """The serialized outputs of an action, or why there are none.

    `error.pb` is looked at first: a failing task writes it and still exits with 0.
    """
    try:
        error = read_left(work, (action, ATTEMPT, "error.pb"))
        if error is not None:
            return _failure(ErrorDocument.FromString(error))
        outputs = read_left(work, (action, ATTEMPT, "outputs.pb"))
        if outputs is not None:
            Outputs.FromString(outputs)
            return outputs
    except (ValueError, DecodeError) as problem:
        return Failure(message=f"what the task wrote cannot be used: {problem}", code="BadOutputs", kind="USER")
    return Failure(message=f"{_sentence(ended)}{_quoted(tail)}", code=f"Exit{ended.code}", kind="USER")


def _failure(document: ErrorDocument) -> Failure:
    error = document.error
    message = clean(error.message)[:_MAX_MESSAGE]
    if NO_NESTED_TASKS in message or NESTED_REFUSAL in message:
        return Failure(message=_NESTED, code="NestedTask", kind="USER")
    kind = "SYSTEM" if error.origin == ExecutionError.SYSTEM else "USER"
    return Failure(message=message or "the task failed without a message", code=clean(error.code)[:200], kind=kind)


def _sentence(ended: Exit) -> str:
    if ended.out_of_memory:
        return "the container was killed because it used more memory than it may"
    if ended.code == 0:
        return "the container ended without writing outputs or an error"
    return f"the container exited with code {ended.code} without writing outputs or an error"


def _quoted(tail: str) -> str:
    return f"; the last lines of its log:\n{tail.strip()}" if tail.strip() else "; it wrote no log"
