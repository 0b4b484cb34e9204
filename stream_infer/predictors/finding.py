"""User code by its name: a file or a module, and something in it. Every failure says what to do."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from stream_infer.errors import PredictorUnavailable
from stream_infer.nearest import did_you_mean


def full_name(thing: object) -> str:
    """The class's name with its module, as it is written into dead letters; built-in ones stand alone."""
    kind = thing if isinstance(thing, type) else type(thing)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def find(target: str, directory: Path, what: str) -> Any:
    """The object that `path/to/file.py:Name` or `package.module:Name.attribute` names. Raises PredictorUnavailable."""
    place, _, name = target.rpartition(":")
    if not place or not name:
        raise PredictorUnavailable(
            f"{what} {target!r} names no class: write path/to/file.py:ClassName or package.module:ClassName"
        )
    module = import_file(place, directory, target) if place.endswith(".py") else _import_module(place, target, what)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise PredictorUnavailable(f"{what} {target}: {place} has no {part!r}{hint(found, part)}")
        found = getattr(found, part)
    return found


def _import_module(name: str, target: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise PredictorUnavailable(
                f"{what} {target}: there is no module {error.name!r} on the path of {sys.executable}: "
                "install it, or write path/to/file.py:ClassName"
            ) from error
        raise PredictorUnavailable(_import_failed(target, error)) from error
    except (Exception, SystemExit) as error:
        raise PredictorUnavailable(_import_failed(target, error)) from error


def import_file(place: str, directory: Path, target: str) -> ModuleType:
    """The module that a file is, seen from `directory`. Raises PredictorUnavailable, which names `target`."""
    path = (directory / place).resolve()
    if not path.is_file():
        near = did_you_mean(path.name, [other.name for other in path.parent.glob("*.py")])
        raise PredictorUnavailable(f"predictor {target}: there is no file {path}{near}")
    try:
        return run_file(path, path.parent, "predictor")
    except (Exception, SystemExit) as error:
        raise PredictorUnavailable(_import_failed(target, error)) from error


def run_file(path: Path, neighbours: Path, prefix: str) -> ModuleType:
    """The module that the file is, what lies in `neighbours` importable, as if it were run as a script there.

    Raises what it raises. Where another module has its name, it is called `prefix`_name.
    """
    sys.path.insert(0, str(neighbours))
    taken = path.stem in sys.modules or path.stem in sys.stdlib_module_names
    name = f"{prefix}_{path.stem}" if taken else path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec, path
    assert spec.loader, path
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import_failed(target: str, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"predictor {target} cannot be imported: install {error.name!r}, which it needs, beside stream-infer"
    return f"predictor {target} cannot be imported: {said(error)}"


def said(error: BaseException) -> str:
    """The error's name and message on one line."""
    return f"{full_name(error)}: {error}" if str(error) else full_name(error)


def hint(holder: object, missing: str) -> str:
    """What `holder` has instead of `missing`, to stand behind a complaint; empty where there is nothing to say."""
    names = [name for name in dir(holder) if not name.startswith("_")]
    classes = [name for name in names if inspect.isclass(getattr(holder, name, None))]
    return did_you_mean(missing, names, f"; its classes are {', '.join(classes)}" if classes else "", alike=0.5)
