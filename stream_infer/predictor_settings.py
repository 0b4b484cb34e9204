"""`apis[].predictor` of stream-infer.yaml: whose code a predictor is, and what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SettingsPart(BaseModel):
    """A part of stream-infer.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _check_one_model(model: str | None, config: Mapping[str, Any]) -> None:
    if model is not None and "model" in config:
        raise ValueError("config.model and model are both set: the class finds the path of model in config.model")


class NativePredictor(SettingsPart):
    """A class of the user's own: `path/to/file.py:Class`, or `package.module:Class`.

    `model`: a file or folder, or where one is to be fetched from; the class finds its path in `config["model"]`.
    `job_scoped`: each call has items of one job alone, and is `predict(items, job)`.
    """

    type: Literal["native"] = "native"
    target: str = Field(pattern=r"^[^:]+:[A-Za-z_]\w*$")
    model: str | None = Field(default=None, min_length=1)
    config: dict[str, Any] = Field(default_factory=dict)
    on_job_complete: bool = False
    job_scoped: bool = False

    @model_validator(mode="after")
    def _one_model(self) -> NativePredictor:
        _check_one_model(self.model, self.config)
        return self

    @property
    def is_job_scoped(self) -> bool:
        """Whether no micro-batch mixes jobs, and the predictor is told whose items it gets."""
        return self.job_scoped

    @property
    def sees_requests(self) -> bool:
        """Whether a realtime request's headers and query travel to it beside the payload."""
        return False

    @property
    def shown_as(self) -> str:
        return self.target


class _Adapted(SettingsPart):
    """A predictor whose type says how it works, where a class of the user's own is asked."""

    @property
    def on_job_complete(self) -> bool:
        return False

    @property
    def is_job_scoped(self) -> bool:
        return False

    @property
    def sees_requests(self) -> bool:
        return False


class TorchvisionPredictor(_Adapted):
    """A torchvision classification model by name; `weights` is a file, or the name of torchvision's own."""

    type: Literal["torchvision"] = "torchvision"
    model: str
    weights: str = "DEFAULT"
    config: dict[str, Any] = Field(default_factory=dict)

    @property
    def shown_as(self) -> str:
        return self.model


class CortexPredictor(_Adapted):
    """A predictor as it was written for Cortex: `path` is its file, below the folder `project` that it runs in.

    `kind`: what Cortex calls BatchAPI, RealtimeAPI and AsyncAPI. A batch predictor has an instance for each job, of
    which `instances` are kept at a time. `batch_size` is that of jobs that name none; another kind is called with lists
    of as many payloads where it is set. `python_path` is searched for imports, `env` set in its process.
    """

    type: Literal["cortex"] = "cortex"
    path: str = Field(pattern=r"\.py$")
    kind: Literal["batch", "realtime", "async"] = "batch"
    config: dict[str, Any] = Field(default_factory=dict)
    batch_size: int | None = Field(default=None, ge=1)
    instances: int = Field(default=4, ge=1)
    project: Path | None = None
    python_path: Path | None = None
    env: dict[str, str] = Field(default_factory=dict)

    @property
    def is_job_scoped(self) -> bool:
        return self.kind == "batch"

    @property
    def on_job_complete(self) -> bool:
        """Whether its class has such a method is known where it is loaded: a job without one has nothing to do then."""
        return self.is_job_scoped

    @property
    def sees_requests(self) -> bool:
        return self.kind == "realtime"

    @property
    def shown_as(self) -> str:
        return self.path


class SageMakerPredictor(_Adapted):
    """A model as SageMaker's PyTorch container serves it: `model` is a model.tar.gz, or a folder of what is in one.

    `program` is the entry point in its code/ folder; `accept` the type of the answer to an item that asks for none;
    `env` is set in its process.
    """

    type: Literal["sagemaker"] = "sagemaker"
    model: str = Field(min_length=1)
    program: str | None = Field(default=None, min_length=1)
    accept: str | None = Field(default=None, min_length=1)
    env: dict[str, str] = Field(default_factory=dict)

    @property
    def shown_as(self) -> str:
        return self.model


class PluginPredictor(_Adapted):
    """A predictor of another package, which names it among its entry points of `stream_infer.predictors`.

    `model` is as a native class's. `config` is the plugin's own.
    """

    type: Literal["plugin"] = "plugin"
    name: str = Field(min_length=1, max_length=100)
    model: str | None = Field(default=None, min_length=1)
    config: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_model(self) -> PluginPredictor:
        _check_one_model(self.model, self.config)
        return self

    @property
    def shown_as(self) -> str:
        return self.name


PredictorSettings = Annotated[
    NativePredictor | TorchvisionPredictor | CortexPredictor | SageMakerPredictor | PluginPredictor,
    Field(discriminator="type"),
]
