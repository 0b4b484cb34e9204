"""From a `PredictorSpec` to a predictor. Runs in the child process; every failure says what to do."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream_infer import plugins
from stream_infer.errors import ConfigError, PredictorUnavailable
from stream_infer.predictors.cortex import cortex_constructor
from stream_infer.predictors.finding import find, hint, said
from stream_infer.predictors.job_aware import job_aware, require_job
from stream_infer.predictors.protocol import Predictor
from stream_infer.predictors.sagemaker import SageMakerModel
from stream_infer.predictors.spec import PredictorSpec


def load(spec: PredictorSpec) -> Predictor:
    """Constructs the predictor. Raises PredictorUnavailable, its cause being what the predictor's code raised."""
    return constructor_of(spec)()


def constructor_of(spec: PredictorSpec) -> Callable[[], Predictor]:
    """Imports what the predictor is made of, and answers what makes it; both raise PredictorUnavailable like `load`."""
    if spec.type == "native":
        return _native(spec)
    if spec.type == "torchvision":
        return _torchvision(spec)
    if spec.type == "sagemaker":
        return _sagemaker(spec)
    if spec.type == "cortex":
        return _cortex(spec)
    if spec.type == "plugin":
        return _plugin(spec)
    if spec.type == "unprepared":
        raise PredictorUnavailable(spec.target)
    raise PredictorUnavailable(
        f"predictor type {spec.type!r} is unknown: use native, torchvision, cortex, sagemaker or plugin"
    )


def _native(spec: PredictorSpec) -> Callable[[], Predictor]:
    what = f"predictor {spec.target}"
    cls: Any = find(spec.target, Path(spec.directory or "."), "predictor")
    _require_predictor(cls, what)
    constructor: Callable[[dict[str, Any]], Predictor] = cls
    if spec.options.get("job_scoped"):
        require_job(cls, what)
        constructor = lambda config: job_aware(cls(config))  # noqa: E731 - the same, under the class's own name
    return lambda: _construct(what, lambda: constructor(_config(spec)))


def _plugin(spec: PredictorSpec) -> Callable[[], Predictor]:
    what = f"predictor plugin {spec.target}"
    try:
        cls = plugins.load(plugins.Group.PREDICTORS, spec.target)
    except ConfigError as error:
        raise PredictorUnavailable(str(error)) from error.__cause__ or error
    _require_predictor(cls, what)
    return lambda: _construct(what, lambda: cls(_config(spec)))


def _torchvision(spec: PredictorSpec) -> Callable[[], Predictor]:
    try:
        from stream_infer.predictors.torchvision import TorchvisionClassifier
    except ImportError as error:
        raise PredictorUnavailable(
            f"predictor type torchvision needs {error.name or 'torch'}: pip install 'stream-infer[torch]'"
        ) from error
    return lambda: _construct(f"torchvision model {spec.target}", lambda: TorchvisionClassifier.from_spec(spec))


def _sagemaker(spec: PredictorSpec) -> Callable[[], Predictor]:
    return lambda: _construct(f"model {spec.weights}", lambda: SageMakerModel.from_spec(spec))


def _cortex(spec: PredictorSpec) -> Callable[[], Predictor]:
    construct = cortex_constructor(spec)
    return lambda: _construct(f"predictor {spec.target}", construct)


def _construct(what: str, construct: Callable[[], Predictor]) -> Predictor:
    try:
        return construct()
    except PredictorUnavailable:
        raise
    except (Exception, SystemExit) as error:
        raise PredictorUnavailable(f"{what} cannot be loaded: its __init__ raised {said(error)}") from error


def _config(spec: PredictorSpec) -> dict[str, Any]:
    return {**spec.config, **({} if spec.weights is None else {"model": spec.weights})}


def _require_predictor(cls: Any, what: str) -> None:
    if not isinstance(cls, type):
        raise PredictorUnavailable(f"{what} is a {type(cls).__name__}, not a class")
    if not callable(getattr(cls, "predict", None)):
        raise PredictorUnavailable(f"{what} has no method predict(self, items){hint(cls, 'predict')}")
    _require_config(cls, what)


def _require_config(cls: type, what: str) -> None:
    try:
        inspect.signature(cls).bind({})
    except TypeError as error:
        raise PredictorUnavailable(
            f"{what} cannot be constructed with its config ({error}): write def __init__(self, config)"
        ) from error
    except ValueError:  # a class in C without a signature: construction will tell
        return
