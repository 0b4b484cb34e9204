"""CreateTransformJob in our words, field by field; and a job in DescribeTransformJob's."""

import json
from dataclasses import replace

import boto3
import botocore.session
import pytest
from botocore.validate import ParamValidator

from connectors.content_types import content_type_of
from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.sagemaker.request import CreateTransformJob
from stream_infer.gateway.sagemaker.transform import description, ignored_in, spec_of
from stream_infer.gateway.submission import read_spec
from stream_infer.gateway.validation import validate
from stream_infer.http.problems import Problem
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.spec import Job
from stream_infer.jobs.status import Cause, JobStatus, State
from stream_infer.predictor_settings import NativePredictor, SageMakerPredictor
from stream_infer.predictors.transform_type import TransformType, read_transform_type
from stream_infer.settings import MIB, ApiSettings, Settings, WorkerSettings

PREDICTOR = SageMakerPredictor(model="/m.tar.gz", env={"A": "1"})
API = ApiSettings(name="digits", predictor=PREDICTOR, workers=WorkerSettings(max=4))
NATIVE = ApiSettings(name="digits", predictor=NativePredictor(target="m:M"))
SETTINGS = Settings(apis=[API], fetch={"allowed_s3_prefixes": ["s3://in"]}, sink={"allowed_outputs": ["s3://out"]})


def body(**changed):
    """`TransformInput__SplitType="Line"` changes that field."""
    made = {
        "TransformJobName": "digits-1",
        "ModelName": "digits",
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://in/images/"}},
            "ContentType": "application/x-image",
        },
        "TransformOutput": {"S3OutputPath": "s3://out/here"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    for path, value in changed.items():
        place = made
        *above, name = path.split("__")
        for part in above:
            place = place.setdefault(part, {})
        place[name] = value
    return made


def spec(api=API, **changed):
    return spec_of(validate(CreateTransformJob, body(**changed)), api)


def refusal(api=API, **changed):
    with pytest.raises(Problem) as caught:
        read_spec(spec(api, **changed), SETTINGS, api)
    return caught.value.document.detail


def test_the_smallest_body_is_a_job_of_objects():
    made = spec()

    assert made["s3_prefix"] == {
        "uri": "s3://in/images/",
        "split": "none",
        "compression": "none",
        "content_type": str(TransformType("application/x-image", max_bytes=6 * MIB)),
    }
    assert made["assemble"] == {"separator": "none", "output": "s3://out/here"}
    assert made["workers"] == 1
    read_spec(made, SETTINGS, API)


def test_every_field_that_means_something_is_said_in_our_words():
    made = spec(
        TransformInput__DataSource__S3DataSource={"S3DataType": "ManifestFile", "S3Uri": "s3://in/manifest.json"},
        TransformInput__ContentType="text/csv",
        TransformInput__SplitType="Line",
        TransformInput__CompressionType="Gzip",
        TransformOutput__Accept="application/json",
        TransformOutput__AssembleWith="Line",
        TransformResources__InstanceCount=2,
        MaxConcurrentTransforms=8,
        MaxPayloadInMB=1,
        BatchStrategy="MultiRecord",
        DataProcessing={"InputFilter": "$[1:]", "OutputFilter": "$[0,-1]", "JoinSource": "Input"},
        Environment={"A": "1"},
    )

    manifest = made["manifest"]
    assert (manifest["uri"], manifest["split"], manifest["compression"]) == ("s3://in/manifest.json", "line", "gzip")
    kind = read_transform_type(manifest["content_type"])
    assert kind == TransformType("text/csv", "application/json", joins_lines=True, max_bytes=MIB)
    assert made["workers"] == 4
    assert made["assemble"]["separator"] == "line"
    assert made["results"]["input_filter"] == "$[1:]"
    read = read_spec(made, SETTINGS, API)
    assert (read.results.joined.input, read.results.joined.output, read.results.joined.merge) == (
        "SageMakerInput", "SageMakerOutput", True
    )  # fmt: skip


def test_what_is_the_default_of_a_filter_filters_nothing():
    made = spec(DataProcessing={"InputFilter": "$", "OutputFilter": "", "JoinSource": "None"})

    assert made["results"] == {"format": "jsonl", "join": "none", "input_filter": None, "output_filter": None}


def test_a_payload_of_0_mb_has_no_limit():
    assert spec(MaxPayloadInMB=0)["s3_prefix"]["content_type"] == "application/x-image"


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({}, TransformType("", max_bytes=6 * MIB)),
        ({"MaxPayloadInMB": 1}, TransformType("", max_bytes=MIB)),
        ({"TransformOutput__Accept": "text/csv"}, TransformType("", "text/csv", max_bytes=6 * MIB)),
        (
            {"BatchStrategy": "MultiRecord", "TransformInput__SplitType": "Line"},
            TransformType("", joins_lines=True, max_bytes=6 * MIB),
        ),
        ({"MaxPayloadInMB": 0}, None),
    ],
)
def test_without_a_content_type_what_is_said_of_the_request_is_added_to_the_type_that_is_found(changed, kind):
    made = spec(**changed, TransformInput__ContentType=None)
    read_spec(made, SETTINGS, API)
    said = made["s3_prefix"].get("content_type")

    assert said == (None if kind is None else str(kind))
    if kind is not None:
        found = content_type_of("a.png", given=said)
        assert read_transform_type(found) == replace(kind, content_type="image/png")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"TransformInput__SplitType": "RecordIO"}, "/TransformInput/SplitType: RecordIO is not read here"),
        ({"TransformInput__SplitType": "TFRecord"}, "TFRecord is not read here"),
        ({"TransformInput__DataSource__S3DataSource__S3DataType": "AugmentedManifestFile"}, "/S3DataSource/S3DataType"),
        ({"TransformInput__DataSource__S3DataSource__S3DataType": "Converse"}, "Converse is not read here"),
        ({"TransformInput__DataSource__S3DataSource__S3Uri": "s3://other/x"}, "fetch.allowed_s3_prefixes"),
        ({"TransformOutput__S3OutputPath": "s3://other/x"}, "/assemble/output: s3://other/x is below none"),
        ({"TransformOutput__KmsKeyId": "k"}, "set the bucket's default encryption"),
        ({"DataCaptureConfig": {"DestinationS3Uri": "s3://x/y"}}, "JoinSource Input keeps what was sent"),
        ({"Environment": {"A": "2"}}, "/Environment/A: the model is loaded once"),
        ({"BatchStrategy": "MultiRecord"}, "it needs SplitType Line"),
        ({"TransformResources__InstanceCount": 5}, "workers.max of API 'digits' is 4"),
        ({"TransformOutput__Accept": "a/b" * 80}, "more than 200 characters"),
        ({"DataProcessing": {"InputFilter": "$["}}, "/results/input_filter: '$[' is no JSONPath"),
        ({"TransformJobName": "a_b"}, "/TransformJobName"),
        ({"Sort": 1}, "/Sort: unknown key"),
        ({"TransformInput__SplitTypes": "Line"}, "/TransformInput/SplitTypes: unknown key. Did you mean 'SplitType'?"),
    ],
)  # fmt: skip
def test_what_is_not_served_is_refused_by_the_name_of_its_field(changed, said):
    assert said in refusal(**changed)


def test_another_predictor_takes_objects_as_they_are_and_chooses_its_type_itself():
    assert spec(NATIVE)["s3_prefix"]["content_type"] == "application/x-image"
    assert "/TransformOutput/Accept: a native predictor chooses" in refusal(NATIVE, TransformOutput__Accept="text/csv")


def test_what_changes_nothing_is_ignored_and_said():
    asked = body(
        ModelClientConfig={"InvocationsMaxRetries": 1},
        TransformResources__VolumeKmsKeyId="k",
        Tags=[{"Key": "a", "Value": "b"}],
        ExperimentConfig={"RunName": "r"},
    )
    assert set(ignored_in(validate(CreateTransformJob, asked), API)) == {
        "ModelClientConfig", "TransformResources/InstanceType", "TransformResources/VolumeKmsKeyId", "Tags",
        "ExperimentConfig",
    }  # fmt: skip


def test_what_means_nothing_to_another_predictor_is_ignored_there():
    asked = body(TransformInput__SplitType="Line", BatchStrategy="MultiRecord", MaxPayloadInMB=1)
    assert {"BatchStrategy", "MaxPayloadInMB"} <= set(ignored_in(validate(CreateTransformJob, asked), NATIVE))


def test_every_field_of_sagemakers_request_is_known():
    shapes = botocore.session.get_session().get_service_model("sagemaker")
    known = CreateTransformJob.model_fields

    assert set(shapes.operation_model("CreateTransformJob").input_shape.members) == set(known)
    for name, shape in shapes.operation_model("CreateTransformJob").input_shape.members.items():
        inner = CreateTransformJob.model_json_schema()["properties"][name]
        text = json.dumps(inner)
        if shape.type_name == "structure" and "$ref" in text:
            reference = text.partition("#/$defs/")[2].partition('"')[0]
            assert set(shape.members) == set(CreateTransformJob.model_json_schema()["$defs"][reference]["properties"])


def known_job(state=State.SUCCEEDED, cause=None, rejected=0, **fields):
    words = body(Tags=[{"Key": "a", "Value": "b"}])
    job = Job(job_id="digits-1", api="digits", submitted_at=5.0, words=words)
    status = JobStatus(
        job_id="digits-1", api="digits", state=state, cause=cause, times={"enqueuing": 6.0, state.value: 9.0},
        counts=Counts(enqueued=10, rejected=rejected), **fields,
    )  # fmt: skip
    return KnownJob(job, status)


@pytest.mark.parametrize(
    ("state", "cause", "said"),
    [
        (State.VALIDATING, None, "InProgress"),
        (State.RUNNING, None, "InProgress"),
        (State.FINALIZING, None, "InProgress"),
        (State.STOPPING, Cause.STOP, "Stopping"),
        (State.FINALIZING, Cause.STOP, "Stopping"),
        (State.STOPPING, Cause.TIMEOUT, "InProgress"),
        (State.SUCCEEDED, None, "Completed"),
        (State.COMPLETED_WITH_FAILURES, None, "Failed"),
        (State.STOPPED, Cause.STOP, "Stopped"),
        (State.TIMED_OUT, Cause.TIMEOUT, "Failed"),
        (State.FAILED, Cause.FAILURE, "Failed"),
    ],
)
def test_the_status_is_one_of_sagemakers(state, cause, said):
    assert description(known_job(state, cause))["TransformJobStatus"] == said


def test_a_description_is_one_that_sagemakers_clients_read():
    made = description(known_job(State.COMPLETED_WITH_FAILURES, rejected=3, errors=("no space",)))

    assert (made["CreationTime"], made["TransformStartTime"], made["TransformEndTime"]) == (5.0, 6.0, 9.0)
    assert made["TransformOutput"] == {"S3OutputPath": "s3://out/here"}
    assert made["FailureReason"].startswith("no space; 3 of 10 records failed")
    shape = (
        botocore.session.get_session()
        .get_service_model("sagemaker")
        .operation_model("DescribeTransformJob")
        .output_shape
    )
    assert set(made) <= set(shape.members)
    assert not ParamValidator().validate(made, shape).has_errors()


def test_a_client_of_aws_can_be_made_for_another_address():
    client = boto3.client(
        "sagemaker",
        endpoint_url="http://127.0.0.1:1",
        region_name="local",
        aws_access_key_id="x",
        aws_secret_access_key="y",
    )
    assert client.meta.service_model.metadata["targetPrefix"] == "SageMaker"
