"""Every key of a cortex.yaml, of any generation, that is not one of ours in other words: what becomes of it and why."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

Reasons = Mapping[str, str]

_MACHINE = "how much of the machine a worker gets is decided where it is started, such as in Kubernetes"
_IMAGE = "the predictor runs with the Python that stream-infer is installed in"
_SCALING = "workers are scaled by lag and by what jobs want: workers.min and workers.max"
_ROLLOUT = "an update restarts the processes that have what it changes"

IGNORED_OF_API: Final[Reasons] = MappingProxyType(
    {
        "compute": _MACHINE,
        "node_groups": _MACHINE,
        "networking": "the gateway has the API at /NAME and /batch/NAME",
        "endpoint": "the gateway has the API at /NAME and /batch/NAME",
        "update_strategy": _ROLLOUT,
        "monitoring": "predictions are not sampled here",
        "tracker": "predictions are not sampled here",
    }
)
IGNORED_OF_PREDICTOR: Final[Reasons] = MappingProxyType(
    {
        "image": _IMAGE,
        "shm_size": _MACHINE,
        "dependencies": "install what the predictor needs beside stream-infer",
        "log_level": "the predictor sets up its own logging, or what it logs is a line from INFO on",
        "processes_per_replica": "a worker is one process: workers.max of them",
        "workers_per_replica": "a worker is one process: workers.max of them",
        "threads_per_process": "a predictor is called by one thread",
        "threads_per_worker": "a predictor is called by one thread",
    }
)
IGNORED_OF_AUTOSCALING: Final[Reasons] = MappingProxyType(
    dict.fromkeys(
        (
            "init_replicas",
            "workers_per_replica",
            "threads_per_worker",
            "target_queue_length",
            "target_replica_concurrency",
            "max_replica_concurrency",
            "max_replica_queue_length",
            "target_in_flight",
            "window",
            "downscale_stabilization_period",
            "upscale_stabilization_period",
            "max_downscale_factor",
            "max_upscale_factor",
            "downscale_tolerance",
            "upscale_tolerance",
        ),
        _SCALING,
    )
)
REFUSED_OF_API: Final[Reasons] = MappingProxyType(
    {
        "pod": "runs containers of one's own that serve HTTP; stream-infer runs Python predictors: name the file that "
        "predicts under handler.path",
        "tensorflow": "needs TensorFlow Serving; load the model in a predictor of type python",
        "onnx": "needs Cortex's ONNX client; load the model in a predictor of type python",
        "external_model": "needs TensorFlow Serving; load the model in a predictor of type python",
        "request_handler": "goes with a model that Cortex served itself; load it in a predictor of type python",
        "apis": "splits traffic between APIs, which stream-infer does not",
    }
)
REFUSED_OF_PREDICTOR: Final[Reasons] = MappingProxyType(
    {
        "multi_model_reloading": "hands the predictor a client that reloads models; load the model in its constructor",
        "models": "hands the predictor a client of Cortex's own; load the model in its constructor",
        "model": "was fetched by Cortex before; fetch it in init or the constructor, its address in config",
        "model_path": "was fetched by Cortex before; fetch it in init or the constructor, its address in config",
        "signature_key": "is for TensorFlow Serving",
        "tensorflow_serving_image": "is for TensorFlow Serving",
        "tf_serve_image": "is for TensorFlow Serving",
        "protobuf_path": "serves gRPC, which stream-infer does not",
    }
)
REFUSED_KINDS: Final[Reasons] = MappingProxyType(
    {
        "TaskAPI": "runs a task without items; run it where you run scripts",
        "TrafficSplitter": "splits traffic between APIs, which stream-infer does not",
        "APISplitter": "splits traffic between APIs, which stream-infer does not",
    }
)
