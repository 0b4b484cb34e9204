"""From a `PredictorSpec` to a predictor. Runs in the child process; every failure says what to do."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from stream_infer.errors import PredictorUnavailable
from stream_infer.predictors.protocol import Predictor
from stream_infer.predictors.spec import PredictorSpec


def load(spec: PredictorSpec) -> Predictor:
    """Constructs the predictor. Raises PredictorUnavailable, its cause being what the predictor's code raised."""
    if spec.type == "native":
        return _load_native(spec)
    if spec.type == "torchvision":
        return _load_torchvision(spec)
    raise PredictorUnavailable(f"predictor type {spec.type!r} is unknown: use native or torchvision")


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
    module = _import_file(place, directory, target) if place.endswith(".py") else _import_module(place, target, what)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise PredictorUnavailable(f"{what} {target}: {place} has no {part!r}{_hint(found, part)}")
        found = getattr(found, part)
    return found


def _load_native(spec: PredictorSpec) -> Predictor:
    what = f"predictor {spec.target}"
    cls: Any = find(spec.target, Path(spec.directory or "."), "predictor")
    if not isinstance(cls, type):
        raise PredictorUnavailable(f"{what} is a {type(cls).__name__}, not a class")
    if not callable(getattr(cls, "predict", None)):
        raise PredictorUnavailable(f"{what} has no method predict(self, items){_hint(cls, 'predict')}")
    _require_config(cls, what)
    constructor: Callable[[dict[str, Any]], Predictor] = cls
    return _construct(what, lambda: constructor(dict(spec.config)))


def _load_torchvision(spec: PredictorSpec) -> Predictor:
    try:
        from stream_infer.predictors.torchvision import TorchvisionClassifier
    except ImportError as error:
        raise PredictorUnavailable(
            f"predictor type torchvision needs {error.name or 'torch'}: pip install 'stream-infer[torch]'"
        ) from error
    return _construct(f"torchvision model {spec.target}", lambda: TorchvisionClassifier.from_spec(spec))


def _construct(what: str, construct: Callable[[], Predictor]) -> Predictor:
    try:
        return construct()
    except PredictorUnavailable:
        raise
    except (Exception, SystemExit) as error:
        raise PredictorUnavailable(f"{what} cannot be loaded: its __init__ raised {_said(error)}") from error


def _require_config(cls: type, what: str) -> None:
    try:
        inspect.signature(cls).bind({})
    except TypeError as error:
        raise PredictorUnavailable(
            f"{what} cannot be constructed with its config ({error}): write def __init__(self, config)"
        ) from error
    except ValueError:  # a class in C without a signature: construction will tell
        return


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


def _import_file(place: str, directory: Path, target: str) -> ModuleType:
    path = (directory / place).resolve()
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [other.name for other in path.parent.glob("*.py")], 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise PredictorUnavailable(f"predictor {target}: there is no file {path}{hint}")
    # Its neighbours can be imported, as if it were run as a script.
    sys.path.insert(0, str(path.parent))
    taken = path.stem in sys.modules or path.stem in sys.stdlib_module_names
    name = f"predictor_{path.stem}" if taken else path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec, path
    assert spec.loader, path
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PredictorUnavailable(_import_failed(target, error)) from error
    return module


def _import_failed(target: str, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"predictor {target} cannot be imported: install {error.name!r}, which it needs, beside stream-infer"
    return f"predictor {target} cannot be imported: {_said(error)}"


def _said(error: BaseException) -> str:
    return f"{full_name(error)}: {error}" if str(error) else full_name(error)


def _hint(holder: object, missing: str) -> str:
    names = [name for name in dir(holder) if not name.startswith("_")]
    near = difflib.get_close_matches(missing, names, 1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]}?"
    classes = [name for name in names if inspect.isclass(getattr(holder, name, None))]
    return f"; its classes are {', '.join(classes)}" if classes else ""
