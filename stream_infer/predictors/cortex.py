"""The `cortex` type: from a spec to the adapter for what the predictor's file holds. Runs in the child."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stream_infer.errors import PredictorUnavailable
from stream_infer.predictors.cortex_batch import CortexBatches
from stream_infer.predictors.cortex_code import CLASSES, find_class, named_after
from stream_infer.predictors.cortex_project import import_predictor
from stream_infer.predictors.cortex_requests import requests_of
from stream_infer.predictors.protocol import Predictor
from stream_infer.predictors.spec import PredictorSpec


def cortex_constructor(spec: PredictorSpec) -> Callable[[], Predictor]:
    """Imports the predictor's file, and answers what makes the predictor. Raises PredictorUnavailable."""
    options = spec.options
    project = Path(spec.directory or ".").resolve()
    module = import_predictor(spec.target, project, options.get("python_path"), options.get("env", {}))
    if options.get("kind", "batch") != "batch":
        return requests_of(module, spec.target, spec.config, in_lists=bool(options.get("in_lists")))
    cls = find_class(module, spec.target)
    if cls is None:
        raise PredictorUnavailable(f"predictor {spec.target} has none of the classes {', '.join(CLASSES)}")
    what, instances = f"predictor {spec.target}:{cls.__name__}", int(options.get("instances", 4))
    adapter = named_after(CortexBatches, cls)
    return lambda: adapter(cls, what, spec.config, instances)
