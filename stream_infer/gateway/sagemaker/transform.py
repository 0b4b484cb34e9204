"""From SageMaker's words to ours, and back: a CreateTransformJob as a job's spec, a job as DescribeTransformJob has it.

No I/O. What has no meaning here is refused where leaving it out would change results or who may read them; else it is
ignored, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.sagemaker.request import CreateTransformJob
from stream_infer.http.problems import FieldError, Problem, ProblemKind
from stream_infer.jobs.status import Cause, JobStatus, State
from stream_infer.predictor_settings import SageMakerPredictor
from stream_infer.predictors.transform_type import TransformType
from stream_infer.records import JSON
from stream_infer.settings import MIB, ApiSettings

LONGEST_REASON = 1024
_LONGEST_TYPE = 200
_ARN = "arn:aws:sagemaker:local:000000000000:"
_NOT_ENDED = frozenset({State.VALIDATING, State.ENQUEUING, State.RUNNING, State.STOPPING, State.FINALIZING})


def arn_of(name: str, kind: Literal["transform-job", "model"] = "transform-job") -> str:
    """Names nothing outside of this gateway."""
    return f"{_ARN}{kind}/{name}"


def spec_of(asked: CreateTransformJob, api: ApiSettings) -> dict[str, Any]:
    """The spec of a job of `api` in our words. Raises a Problem that names the field."""
    _refuse_unmeant(asked, api)
    return {
        **_source(asked, api),
        "workers": _workers(asked, api),
        "results": _results(asked),
        "assemble": {
            "separator": "line" if asked.TransformOutput.AssembleWith == "Line" else "none",
            "output": asked.TransformOutput.S3OutputPath,
        },
    }


def ignored_in(asked: CreateTransformJob, api: ApiSettings) -> dict[str, str]:
    """The fields that change nothing here, and why."""
    resources = asked.TransformResources
    other = None if isinstance(api.predictor, SageMakerPredictor) else asked.model_fields_set
    batched = f"a {api.predictor.type} predictor gets its items in micro-batches: see batching of the API"
    candidates = {
        "BatchStrategy": (other and "BatchStrategy" in other, batched),
        "MaxPayloadInMB": (other and "MaxPayloadInMB" in other, "fetch.max_bytes bounds each item"),
        "ModelClientConfig": (
            asked.ModelClientConfig,
            "batching.call_timeout and retry of the API hold for all its jobs",
        ),
        "TransformResources/InstanceType": (
            resources,
            "the API's workers run on the machines that they were started on",
        ),
        "TransformResources/VolumeKmsKeyId": (
            resources and resources.VolumeKmsKeyId,
            "workers have no volume of their own: encrypt the disk of state_dir",
        ),
        "TransformResources/TransformAmiVersion": (
            resources and resources.TransformAmiVersion,
            "workers run in the environment that they were started in",
        ),
        "Tags": (asked.Tags, "there is no billing to sort by them"),
        "ExperimentConfig": (asked.ExperimentConfig, "there are no SageMaker experiments here"),
    }
    return {field: why for field, (value, why) in candidates.items() if value}


def _refuse_unmeant(asked: CreateTransformJob, api: ApiSettings) -> None:
    given, output = asked.TransformInput, asked.TransformOutput
    if given.SplitType in ("RecordIO", "TFRecord"):
        raise refused("/TransformInput/SplitType", f"{given.SplitType} is not read here: None and Line are")
    kind = given.DataSource.S3DataSource.S3DataType
    if kind not in ("S3Prefix", "ManifestFile"):
        pointer = "/TransformInput/DataSource/S3DataSource/S3DataType"
        raise refused(pointer, f"{kind} is not read here: S3Prefix and ManifestFile are")
    if output.KmsKeyId:
        detail = "objects are not encrypted by a key of the job: set the bucket's default encryption, and leave it out"
        raise refused("/TransformOutput/KmsKeyId", detail)
    if asked.DataCaptureConfig is not None:
        detail = "nothing is captured beside the results: DataProcessing.JoinSource Input keeps what was sent"
        raise refused("/DataCaptureConfig", detail)
    require_environment(asked.Environment, api, "/Environment")
    if asked.BatchStrategy == "MultiRecord" and given.SplitType == "None":
        raise refused("/BatchStrategy", "MultiRecord puts lines together: it needs SplitType Line")


def require_environment(environment: Mapping[str, str], api: ApiSettings, pointer: str) -> None:
    """Raises a Problem where it is another one than that in which the API's model is loaded."""
    own: dict[str, str | None] = {}
    if isinstance(api.predictor, SageMakerPredictor):
        own = {"SAGEMAKER_PROGRAM": api.predictor.program, **api.predictor.env}
    for name, value in environment.items():
        if own.get(name) != value:
            detail = "the model is loaded once for all jobs of the API: set it as apis[].predictor.env, or leave it out"
            raise refused(f"{pointer}/{name}", detail)


def _source(asked: CreateTransformJob, api: ApiSettings) -> dict[str, Any]:
    given = asked.TransformInput
    source = given.DataSource.S3DataSource
    name = "manifest" if source.S3DataType == "ManifestFile" else "s3_prefix"
    spec: dict[str, Any] = {
        "uri": source.S3Uri,
        "split": "line" if given.SplitType == "Line" else "none",
        "compression": "gzip" if given.CompressionType == "Gzip" else "none",
    }
    kind = _content_type(asked, api)
    return {name: spec | ({} if kind is None else {"content_type": kind})}


def _content_type(asked: CreateTransformJob, api: ApiSettings) -> str | None:
    """Of each item, with what a predictor of SageMaker's is to know of the request and its answer. Where the job says
    no type it is that alone, and added to the type that S3 or the name says."""
    given, accept = asked.TransformInput.ContentType, asked.TransformOutput.Accept or None
    if not isinstance(api.predictor, SageMakerPredictor):
        if accept not in (None, JSON, "*/*"):
            detail = f"a {api.predictor.type} predictor chooses the type of its outputs itself, which is mostly {JSON}"
            raise refused("/TransformOutput/Accept", detail)
        return given or None
    joins, limit = asked.BatchStrategy == "MultiRecord", asked.MaxPayloadInMB * MIB or None
    kind = str(TransformType(given or "", accept, joins, limit))
    if len(kind) > _LONGEST_TYPE:
        raise refused("/TransformOutput/Accept", f"with ContentType it has more than {_LONGEST_TYPE} characters")
    return kind or None


def _workers(asked: CreateTransformJob, api: ApiSettings) -> int | None:
    """So many are asked for, in parallel, as so many instances would be; no more of them than there may be."""
    if asked.TransformResources is None:
        return None
    count = asked.TransformResources.InstanceCount
    if count > api.workers.max:
        detail = (
            f"{count} instances are as many workers, and workers.max of API {api.name!r} is {api.workers.max}. "
            "Ask for no more than that, or raise workers.max in stream-infer.yaml"
        )
        raise refused("/TransformResources/InstanceCount", detail, ProblemKind.LIMIT_EXCEEDED)
    return min(count * max(asked.MaxConcurrentTransforms, 1), api.workers.max)


def _results(asked: CreateTransformJob) -> dict[str, Any]:
    """Explicitly, so that nothing of the API's own settings is left."""
    wanted = asked.DataProcessing
    joins = wanted is not None and wanted.JoinSource == "Input"
    return {
        "format": "jsonl",
        "join": {"input": "SageMakerInput", "output": "SageMakerOutput", "merge": True} if joins else "none",
        "input_filter": _filter(None if wanted is None else wanted.InputFilter),
        "output_filter": _filter(None if wanted is None else wanted.OutputFilter),
    }


def _filter(text: str | None) -> str | None:
    return None if text in (None, "", "$") else text


def description(known: KnownJob) -> dict[str, Any]:
    """As DescribeTransformJob has it; times in seconds since the epoch, as its protocol has them."""
    job, status = known.job, known.status
    words = {name: value for name, value in (job.words or {}).items() if name != "Tags" and value is not None}
    began = status.times.get(State.ENQUEUING.value)
    return {
        "ModelName": job.api,
        "TransformResources": {"InstanceType": "local", "InstanceCount": job.workers or 1},
        **words,
        **_told(known),
        **({} if began is None else {"TransformStartTime": began}),
    }


def summary(known: KnownJob) -> dict[str, Any]:
    """As ListTransformJobs has it."""
    return _told(known) | {"LastModifiedTime": modified_at(known)}


def modified_at(known: KnownJob) -> float:
    """When its state has changed last, in seconds since the epoch."""
    return max(known.job.submitted_at, *known.status.times.values(), 0.0)


def _told(known: KnownJob) -> dict[str, Any]:
    """What both say of it."""
    job, status = known.job, known.status
    ended = status.times.get(status.state.value) if status.state.is_final else None
    reason = _reason(status)
    return {
        "TransformJobName": job.job_id,
        "TransformJobArn": arn_of(job.job_id),
        "TransformJobStatus": status_of(status),
        "CreationTime": job.submitted_at,
        **({} if ended is None else {"TransformEndTime": ended}),
        **({"FailureReason": reason} if reason else {}),
    }


def status_of(status: JobStatus) -> str:
    """A job of which a record failed is Failed, as SageMaker has it, whatever else of it succeeded."""
    if status.state in _NOT_ENDED:
        return "Stopping" if status.cause is Cause.STOP else "InProgress"
    if status.state is State.SUCCEEDED:
        return "Completed"
    return "Stopped" if status.state is State.STOPPED else "Failed"


def _reason(status: JobStatus) -> str:
    if status_of(status) != "Failed":
        return ""
    said = list(status.errors)
    if status.state is State.TIMED_OUT:
        said.append("its time was over")
    if status.counts.rejected:
        said.append(
            f"{status.counts.rejected} of {status.counts.enqueued} records failed, and their objects have no .out: "
            f"GET /v1/jobs/{status.job_id}/failures"
        )
    return "; ".join(said)[:LONGEST_REASON]


def refused(pointer: str, detail: str, kind: ProblemKind = ProblemKind.INVALID_REQUEST) -> Problem:
    return Problem(kind, f"{pointer}: {detail}", errors=[FieldError(pointer=pointer, detail=detail)])
