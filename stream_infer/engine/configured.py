"""The engine's own terms for what an API's settings say."""

from __future__ import annotations

import math

from stream_infer.engine.cost import Length, bytes_of, length_of_field
from stream_infer.engine.policy import EnginePolicy
from stream_infer.predictor_settings import (
    CortexPredictor,
    NativePredictor,
    PluginPredictor,
    PredictorSettings,
    SageMakerPredictor,
    TorchvisionPredictor,
)
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.settings import AUTO, BatchingSettings, RetrySettings

LARGEST_FOUND = 1024
"""Of a micro-batch whose size is found."""


def predictor_spec(predictor: PredictorSettings) -> PredictorSpec:
    match predictor:
        case NativePredictor():
            scoped = {"job_scoped": True} if predictor.job_scoped else {}
            return PredictorSpec("native", predictor.target, predictor.config, weights=predictor.model, options=scoped)
        case TorchvisionPredictor():
            return PredictorSpec("torchvision", predictor.model, predictor.config, weights=predictor.weights)
        case CortexPredictor():
            return _cortex(predictor)
        case PluginPredictor():
            return PredictorSpec("plugin", predictor.name, predictor.config, weights=predictor.model)
        case SageMakerPredictor():
            options = {"program": predictor.program, "accept": predictor.accept, "env": predictor.env}
            return PredictorSpec(
                "sagemaker", predictor.program or "inference.py", weights=predictor.model, options=options
            )


def _cortex(predictor: CortexPredictor) -> PredictorSpec:
    directory = None if predictor.project is None else str(predictor.project)
    options = {
        "kind": predictor.kind,
        "instances": predictor.instances,
        "in_lists": predictor.kind != "batch" and predictor.batch_size is not None,
        "python_path": None if predictor.python_path is None else str(predictor.python_path),
        "env": predictor.env,
    }
    return PredictorSpec("cortex", predictor.path, predictor.config, directory=directory, options=options)


def engine_policy(batching: BatchingSettings, retry: RetrySettings | None = None) -> EnginePolicy:
    """`retry`: of a worker, for a job's instance that cannot be made at once."""
    retry = retry or RetrySettings(max_attempts=1)
    return EnginePolicy(
        max_batch_size=LARGEST_FOUND if batching.max_batch_size == AUTO else batching.max_batch_size,
        finds_batch_size=batching.max_batch_size == AUTO,
        max_batch_bytes=batching.max_batch_bytes,
        length=_length(batching),
        max_batch_cost=math.inf if batching.max_batch_cost is None else batching.max_batch_cost,
        max_wait_s=batching.max_wait_ms / 1000,
        call_timeout_s=batching.call_timeout,
        load_timeout_s=batching.load_timeout,
        load_attempts=retry.max_attempts,
        load_delays_s=tuple(retry.delays),
        preprocess_threads=batching.preprocess_threads,
    )


def _length(batching: BatchingSettings) -> Length | None:
    if batching.max_batch_cost is None:
        return None
    return bytes_of if batching.cost_field is None else length_of_field(batching.cost_field)
