"""What a predictor's file for Cortex holds, of whatever generation: its class or functions, and what they take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, TypeVar

from stream_infer.errors import PredictorUnavailable

Adapter = TypeVar("Adapter")
CLASSES = ("PythonPredictor", "Handler", "Predictor")
_FOREIGN_CLASSES = ("TensorFlowPredictor", "ONNXPredictor")
_FOREIGN = {
    "tensorflow_client": "a client of TensorFlow Serving",
    "onnx_client": "an ONNX client",
    "python_client": "a client of models that are reloaded",
    "module_proto_pb2": "a gRPC service",
    "proto_module_pb2": "a gRPC service",
}


def find_class(module: ModuleType, path: str) -> type | None:
    """The predictor's class, None where the file has none. Raises PredictorUnavailable for one of another runtime."""
    for name in _FOREIGN_CLASSES:
        if isinstance(getattr(module, name, None), type):
            raise PredictorUnavailable(
                f"predictor {path}: {name} works with a client that Cortex's own runtime hands it; load the model in a "
                "PythonPredictor instead"
            )
    found = (getattr(module, name, None) for name in CLASSES)
    return next((one for one in found if isinstance(one, type)), None)


def find_method(cls: type, names: Sequence[str]) -> str | None:
    """The first of these methods that the class has."""
    return next((name for name in names if callable(getattr(cls, name, None))), None)


def named_after(adapter: type[Adapter], thing: Any) -> type[Adapter]:
    """The adapter under the name of the user's class, or function, which is what people know it by."""
    names = {"__module__": thing.__module__, "__qualname__": thing.__qualname__}
    named: type[Adapter] = type(thing.__name__, (adapter,), names)
    return named


class Taking:
    """Calls a function with those of the arguments it is offered that it has parameters for.

    Raises PredictorUnavailable where it cannot be called with them.
    """

    def __init__(self, function: Callable[..., Any], offered: Sequence[str], what: str, *, skipped: int = 0) -> None:
        parameters = list(inspect.signature(function).parameters.values())[skipped:]
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
        named = [one for one in parameters if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
        unknown = [one.name for one in named if one.name not in offered and one.default is one.empty]
        if unknown:
            raise PredictorUnavailable(_unknown(what, unknown[0], offered))
        names = {one.name for one in named}
        self._taken = tuple(name for name in offered if name in names or takes_any)

    def of(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What it is to be called with."""
        return {name: arguments[name] for name in self._taken}


def _unknown(what: str, name: str, offered: Sequence[str]) -> str:
    if name in _FOREIGN:
        return f"{what} takes {name}, {_FOREIGN[name]} of Cortex's own runtime, which is not offered here"
    return f"{what} takes {name!r}, which Cortex does not offer it either: it may take {', '.join(offered)}"


class NoMetrics:
    """What a constructor that takes `metrics_client` gets: it counts nothing."""

    def gauge(self, *_: Any, **__: Any) -> None: ...

    def increment(self, *_: Any, **__: Any) -> None: ...

    def histogram(self, *_: Any, **__: Any) -> None: ...
