"""Whose code a predictor is, and what it is given."""

from __future__ import annotations

from stream_infer.configuration.meanings.meanings import Meanings
from stream_infer.predictor_settings import (
    CortexPredictor,
    NativePredictor,
    SageMakerPredictor,
    TorchvisionPredictor,
)

_TYPE = "`native`, `torchvision`, `cortex` or `sagemaker`: see [predictors](predictors.md)"
_CONFIG = "given to the predictor"
_ENV = "cortex, sagemaker: variables of its process"

PREDICTORS: Meanings = {
    NativePredictor: {
        "type": _TYPE,
        "target": "native: `path/to/file.py:Class` or `package.module:Class`",
        "model": (
            "native: [a file or folder](predictors.md#where-models-come-from), or where it is fetched from; the "
            'class finds its path in `config["model"]`'
        ),
        "config": _CONFIG,
        "on_job_complete": "native: call the method of that name when a job's items have ended",
        "job_scoped": (
            "native: each call has items of one job alone, and is [`predict(items, job)`](predictors.md#whose-items)"
        ),
    },
    TorchvisionPredictor: {
        "type": _TYPE,
        "model": "torchvision: the model's name",
        "weights": (
            "torchvision: a file, [where it is fetched from](predictors.md#where-models-come-from), "
            "`package://NAME/path`, or the name of torchvision's own"
        ),
        "config": _CONFIG,
    },
    CortexPredictor: {
        "type": _TYPE,
        "path": "cortex: the predictor's file, seen from `project`",
        "kind": "cortex: `batch`, `realtime` or `async`, as what it was written",
        "config": _CONFIG,
        "batch_size": (
            "cortex, batch: items in one call, at most, where a job names none (none: `batching.max_batch_size`); "
            "else: `predict` gets lists of payloads"
        ),
        "instances": (
            "cortex, batch: each job has an instance of its own; so many are kept, those of the jobs used last"
        ),
        "project": "cortex: the folder it runs in, with its `.env` (none: that of the configuration)",
        "python_path": "cortex: a folder that imports are looked up in, seen from `project`",
        "env": _ENV,
    },
    SageMakerPredictor: {
        "type": _TYPE,
        "model": (
            "sagemaker: a `model.tar.gz`, or a folder of what is in one: [Coming from "
            "SageMaker](coming-from-sagemaker.md)"
        ),
        "program": "sagemaker: the entry point in `code/` (none: `SAGEMAKER_PROGRAM`, else `inference.py`)",
        "accept": (
            "sagemaker: the answer's type where an item asks for none (none: "
            "`SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT`, else JSON)"
        ),
        "env": _ENV,
    },
}
