"""A Python file that holds `ImageSpec`, `flyte.Image` or `flyte.TaskEnvironment` objects at module level.

The file is run, as `python FILE` would run its imports; only what it binds at module level counts.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import ModuleType

from flyte_build.builder.sources import sdk
from flyte_build.builder.sources.source import FoundSpec
from flyte_build.builder.spec import ImageSpec
from flyte_build.registry.errors import FlyteBuildError, InvalidInput, InvalidSpec


def read(file: Path) -> tuple[FoundSpec, ...]:
    """The specs in a Python file, one per distinct image. Raises InvalidInput when it fails to load or has none."""
    with _running(str(file), file.parent):
        module = _executed(file)
    return _specs(module, str(file))


def read_module(name: str) -> tuple[FoundSpec, ...]:
    """The specs in a module by its dotted name, as `python -m NAME` would find it from here; raises as `read`."""
    with _running(name, Path.cwd()):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and (name == error.name or name.startswith(f"{error.name}.")):
                raise InvalidInput(
                    f"there is no file or Python module {name!r}", hint="name a Python file or an image.toml"
                ) from error
            raise
    return _specs(module, name)


def _specs(module: ModuleType, source: str) -> tuple[FoundSpec, ...]:
    file = Path(module.__file__ or Path.cwd() / "__init__.py")
    found: list[FoundSpec] = []
    untouched = 0
    for name, value in vars(module).items():
        origin = f"{file.name}: {name}"
        for image in _images(value):
            if isinstance(image, ImageSpec):
                found.append(FoundSpec(spec=image, root=file.parent, origin=origin))
            elif sdk.needs_build(image):
                found.append(FoundSpec(spec=_converted(image, origin), root=Path.cwd(), origin=origin))
            else:
                untouched += 1
    if not found:
        why = "only images that are used as they are" if untouched else "no image"
        raise InvalidInput(
            f"{source} holds {why}",
            hint="bind a flyte_build.builder.spec.ImageSpec, flyte.Image or flyte.TaskEnvironment at module level",
        )
    # Compared, not hashed: what a program put into a spec may be a list.
    return tuple(one for number, one in enumerate(found) if one.spec not in [other.spec for other in found[:number]])


def _converted(image: object, origin: str) -> ImageSpec:
    try:
        return sdk.to_spec(image)
    except InvalidSpec as error:
        raise InvalidSpec(origin, error.problems) from error


def _images(value: object) -> Iterator[object]:
    if isinstance(value, ImageSpec) or sdk.is_image(value):
        yield value
    elif sdk.is_environment(value):
        image = getattr(value, "image", None)
        if sdk.is_image(image):
            yield image


@contextmanager
def _running(source: str, folder: Path) -> Iterator[None]:
    """The user's code finds its neighbours, prints to stderr (stdout is for answers), and fails with one sentence."""
    place = str(folder.resolve())
    sys.path.insert(0, place)
    try:
        with redirect_stdout(sys.stderr):
            yield
    except FlyteBuildError:
        raise
    except (Exception, SystemExit) as error:
        raise InvalidInput(f"{source} failed to load: {_where(error, folder)}{_what(error)}") from error
    finally:
        with suppress(ValueError):
            sys.path.remove(place)


def _executed(file: Path) -> ModuleType:
    name = file.stem.replace("-", "_")
    location = importlib.util.spec_from_file_location(name, file.resolve())
    if location is None or location.loader is None:
        raise InvalidInput(f"{file} cannot be loaded as Python")
    module = importlib.util.module_from_spec(location)
    # Dataclasses and pickles of the file look here for it while it runs; what was here before stays what it was.
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        location.loader.exec_module(module)
    finally:
        if before is not None:
            sys.modules[name] = before
    return module


def _what(error: BaseException) -> str:
    text = str(error.msg if isinstance(error, SyntaxError) else error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _where(error: BaseException, folder: Path) -> str:
    """The last line of the user's own code that was on the way, as `file:line: `."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}: "
    own = folder.resolve()
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(own) and "site-packages" not in Path(frame.filename).parts
    ]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}: " if frames else ""
