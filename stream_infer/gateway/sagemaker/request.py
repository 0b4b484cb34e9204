"""The body of SageMaker's CreateTransformJob, field by field. What is done with each: docs/coming-from-sagemaker.md."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_NAME = r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _S3Source(_Part):
    S3DataType: Literal["S3Prefix", "ManifestFile", "AugmentedManifestFile", "Converse"]
    S3Uri: str = Field(min_length=1, max_length=1024)


class _Source(_Part):
    S3DataSource: _S3Source


class _Input(_Part):
    DataSource: _Source
    ContentType: str | None = Field(default=None, max_length=256)
    CompressionType: Literal["None", "Gzip"] = "None"
    SplitType: Literal["None", "Line", "RecordIO", "TFRecord"] = "None"


class _Output(_Part):
    S3OutputPath: str = Field(min_length=1, max_length=1024)
    Accept: str | None = Field(default=None, max_length=256)
    AssembleWith: Literal["None", "Line"] = "None"
    KmsKeyId: str | None = None


class _Resources(_Part):
    InstanceType: str
    InstanceCount: int = Field(ge=1)
    VolumeKmsKeyId: str | None = None
    TransformAmiVersion: str | None = None


class _Processing(_Part):
    InputFilter: str | None = Field(default=None, max_length=63)
    OutputFilter: str | None = Field(default=None, max_length=63)
    JoinSource: Literal["None", "Input"] = "None"


class _ClientConfig(_Part):
    InvocationsTimeoutInSeconds: int | None = Field(default=None, ge=1, le=3600)
    InvocationsMaxRetries: int | None = Field(default=None, ge=0, le=3)


class CreateTransformJob(_Part):
    """SageMaker's own names and defaults."""

    TransformJobName: str = Field(pattern=_NAME)
    ModelName: str | None = None
    MaxConcurrentTransforms: int = Field(default=0, ge=0)
    ModelClientConfig: _ClientConfig | None = None
    MaxPayloadInMB: int = Field(default=6, ge=0)
    BatchStrategy: Literal["SingleRecord", "MultiRecord"] | None = None
    Environment: dict[str, str] = Field(default_factory=dict, max_length=16)
    TransformInput: _Input
    TransformOutput: _Output
    DataCaptureConfig: dict[str, Any] | None = None
    TransformResources: _Resources | None = None
    DataProcessing: _Processing | None = None
    Tags: list[dict[str, str]] = Field(default_factory=list, max_length=50)
    ExperimentConfig: dict[str, Any] | None = None


class TransformJobMade(BaseModel):
    """The answer; `Ignored` has the fields that change nothing here, and why."""

    model_config = ConfigDict(frozen=True)

    TransformJobArn: str
    Ignored: dict[str, str] | None = None
