"""Cortex's realtime and async predictors, of every generation, as they are: one call for each item.

    def init(metadata): ...                             the first: functions of a module
    def predict(sample, metadata): ...

    class PythonPredictor:                              then a class
        def __init__(self, config): ...
        def predict(self, payload, query_params, headers): ...

    class Handler:                                      and what it became
        def __init__(self, config): ...
        def handle_post(self, payload, query_params, headers): ...      handle_async(self, payload, request_id)

Each takes any of these arguments.
"""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Protocol
from urllib.parse import parse_qsl

from stream_infer.errors import PredictorUnavailable
from stream_infer.predictors.cortex_code import CLASSES, NoMetrics, Taking, find_class, find_method, named_after
from stream_infer.predictors.protocol import Raised, Request
from stream_infer.records import JSON

_PREDICT = ("handle_post", "handle_async", "predict")
_CONSTRUCTED_WITH = ("config", "metrics_client")
_CALLED_WITH = ("payload", "query_params", "headers", "request_id", "batch_id")
_TOLD_AFTER = ("response", "payload", "query_params", "headers")


class Headers(dict[str, str]):
    """A request's headers. Their names are in lower case, and are found in any."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


class Answering(Protocol):
    """One generation's way to answer a request."""

    def __call__(self, request: Mapping[str, Any]) -> Any: ...


class CortexRequests:
    """See predictors/protocol.py: an item is a request's payload."""

    def __init__(self, answer: Answering) -> None:
        self._answer = answer

    def predict(self, items: Sequence[Any]) -> list[Any]:
        return [self._output(item) for item in items]

    def _output(self, item: Any) -> Any:
        try:
            return plain(self._answer(_arguments(item)))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this item's
            return Raised(error)


class CortexRequestLists:
    """One of Cortex's `server_side_batching`: each argument is a list with a value for each request."""

    def __init__(self, answer: Answering) -> None:
        self._answer = answer

    def predict(self, items: Sequence[Any]) -> Any:
        each = [_arguments(item) for item in items]
        returned = self._answer({name: [one[name] for one in each] for name in _CALLED_WITH})
        return [plain(output) for output in returned] if isinstance(returned, list | tuple) else returned


def _arguments(item: Any) -> dict[str, Any]:
    """What a request's predictor may ask for, by name."""
    asked = item if isinstance(item, Request) else Request(item, JSON, {}, "")
    return {
        "payload": asked.payload,
        "query_params": dict(parse_qsl(asked.query, keep_blank_values=True)),
        "headers": Headers(asked.headers),
        "request_id": str(uuid.uuid4()),
        "batch_id": None,
    }


def requests_of(
    module: ModuleType, path: str, config: Mapping[str, Any], *, in_lists: bool
) -> Callable[[], CortexRequests | CortexRequestLists]:
    """What makes the predictor out of its module. `in_lists`: it is called with many requests. Raises
    PredictorUnavailable."""
    cls = find_class(module, path)
    if cls is not None:
        of_class = _class_answering(cls, f"predictor {path}:{cls.__name__}")
        of_lists, of_each = named_after(CortexRequestLists, cls), named_after(CortexRequests, cls)
        return lambda: of_lists(of_class(config)) if in_lists else of_each(of_class(config))
    function = getattr(module, "predict", None)
    if not inspect.isfunction(function):
        raise PredictorUnavailable(
            f"predictor {path} has none of the classes {', '.join(CLASSES)}, and no function predict(sample, metadata)"
        )
    of_functions = named_after(CortexRequests, function)
    return lambda: of_functions(_Functions(module, function, config))


def _class_answering(cls: type, what: str) -> Callable[[Mapping[str, Any]], Answering]:
    method = find_method(cls, _PREDICT)
    if method is None:
        raise PredictorUnavailable(f"{what} has no method predict(self, payload), nor handle_post or handle_async")
    constructor = Taking(cls, _CONSTRUCTED_WITH, f"the constructor of {what}")
    call = Taking(getattr(cls, method), _CALLED_WITH, f"{method} of {what}", skipped=1)
    after = find_method(cls, ("post_predict",))
    told = None if after is None else Taking(getattr(cls, after), _TOLD_AFTER, f"{after} of {what}", skipped=1)

    def construct(config: Mapping[str, Any]) -> Answering:
        instance: Any = cls(**constructor.of({"config": dict(config), "metrics_client": NoMetrics()}))
        predict = getattr(instance, method)

        def answer(request: Mapping[str, Any]) -> Any:
            response = predict(**call.of(request))
            if told is not None:
                instance.post_predict(**told.of({**request, "response": response}))
            return response

        return answer

    return construct


class _Functions:
    """A module's `predict(sample, metadata)`, after its `init(metadata)`; both by position, as Cortex called them."""

    def __init__(self, module: ModuleType, predict: Callable[..., Any], metadata: Mapping[str, Any]) -> None:
        self._metadata = dict(metadata)
        self._predict = predict
        self._arguments = len(inspect.signature(predict).parameters)
        init: Callable[..., Any] | None = getattr(module, "init", None)
        if init is not None:
            # The first of all had the model's path before the metadata.
            given = (self._metadata.get("model"), self._metadata)
            init(*given[2 - min(len(inspect.signature(init).parameters), 2) :])

    def __call__(self, request: Mapping[str, Any]) -> Any:
        return self._predict(*(request["payload"], self._metadata)[: self._arguments])


def plain(returned: Any) -> Any:
    """What there is of a response: of a pair with a callback, which is called, its first; a Response's body."""
    if isinstance(returned, tuple) and len(returned) == 2 and callable(returned[1]):
        returned, callback = returned
        callback()
    if hasattr(returned, "status_code") and isinstance(getattr(returned, "body", None), bytes):
        return returned.body
    return returned
