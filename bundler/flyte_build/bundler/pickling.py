"""Making and loading pickles by cloudpickle, which is imported here only.

Loading runs code: it comes after the digest and the Python version were checked, and never for anything else.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from flyte_build.bundler.culprit import find_culprit
from flyte_build.bundler.limits import ExtractLimits
from flyte_build.bundler.pickles import PickleFacts, read_pickle, this_python
from flyte_build.bundler.projects import import_roots
from flyte_build.bundler.root import checked_root
from flyte_build.registry.errors import ArchiveError, InvalidInput
from flyte_build.registry.names import Digest
from flyte_build.registry.redact import plain

_IMPORTS = "run it with the Python that has what it imports, from the project's folder or with the folder as DIR"


def pickle_object(name: str, root: Path) -> tuple[bytes, PickleFacts]:
    """The object `name` (`module:object.attribute`) of the project at `root`, with the project's modules by value.

    Imports the module, so it runs the project's code. Raises InvalidInput for a name that means nothing, a module that
    fails to load, and an object that cannot be pickled, naming the attribute that is to blame.
    """
    top = checked_root(root)
    roots = [one.folder for one in import_roots(top, top / "__main__.py")]
    with _importing(roots):
        value = _load(name)
        pickled = _dump(name, value, roots)
    import cloudpickle

    return pickled, PickleFacts(
        object=name,
        python=this_python(),
        cloudpickle=str(cloudpickle.__version__),
        size=len(pickled),
        sha256=hashlib.sha256(pickled).hexdigest(),
    )


def load_pickle(archive: Path, expected: Digest, limits: ExtractLimits | None = None) -> object:
    """The object in `archive`, once it was found to be the bundle `expected`. Raises ArchiveError as `read_pickle`."""
    pickled = read_pickle(archive, expected, limits)
    try:
        return pickle.loads(pickled)  # noqa: S301 - its digest was verified
    except Exception as error:
        raise ArchiveError(
            f"the pickle in {archive.name} cannot be loaded: {type(error).__name__}: {plain(str(error), 200)}",
            hint="the image needs the packages that the object uses, in the versions that it was pickled with",
        ) from error


@contextmanager
def _importing(roots: list[Path]) -> Iterator[None]:
    before = list(sys.path)
    sys.path[:0] = [str(root) for root in roots]
    try:
        yield
    finally:
        sys.path[:] = before


def _load(name: str) -> object:
    module, colon, attributes = name.partition(":")
    if not (colon and module and attributes):
        raise InvalidInput(f"{plain(name, 80)!r} names no object", hint="write it like package.module:task")
    try:
        value: object = importlib.import_module(module)
    # A module that ends the program as it is imported would end this one, as if all were well.
    except (Exception, SystemExit) as error:
        ends = isinstance(error, SystemExit)
        raise InvalidInput(
            f"{module} cannot be imported: {type(error).__name__}: {plain(str(error), 200)}",
            hint="let it end only under `if __name__ == '__main__':`" if ends else _IMPORTS,
        ) from error
    for attribute in attributes.split("."):
        if not hasattr(value, attribute):
            way = f" on the way to {attributes!r}" if attribute != attributes else ""
            raise InvalidInput(f"{module} has no {attribute!r}{way}")
        value = getattr(value, attribute)
    return value


def _dump(name: str, value: object, roots: list[Path]) -> bytes:
    import cloudpickle

    own = [module for module in list(sys.modules.values()) if _is_own(module, roots)]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(value))
    except Exception as error:
        way, part = find_culprit(value, _pickles)
        kind = type(part)
        what = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        raise InvalidInput(
            f"{name} cannot be pickled: {name.rpartition(':')[2]}{way} is a {what}: {plain(str(error), 160)}",
            hint="make it inside the task, or bundle the source instead of a pickle",
        ) from error
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def _pickles(value: object) -> bool:
    import cloudpickle

    try:
        cloudpickle.CloudPickler(io.BytesIO()).dump(value)
    except Exception:  # noqa: BLE001 - any object may raise anything here, and that is the answer
        return False
    return True


def _is_own(module: object, roots: list[Path]) -> bool:
    """Whether a module's source is the project's, and not of an environment inside of it."""
    if not isinstance(module, ModuleType):
        return False
    path = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    if not isinstance(path, str) or "site-packages" in path or path.startswith(sys.prefix + "/"):
        return False
    return any(Path(path).resolve().is_relative_to(root) for root in roots)
