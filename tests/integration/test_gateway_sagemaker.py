"""Transform jobs at the gateway, by HTTP and by boto3 as SageMaker's client; the test writes what the tracker would."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from stream_infer.cli.composition import source_opener
from stream_infer.gateway.sagemaker import models as sagemaker_models
from stream_infer.jobs.assembling import Assemble
from stream_infer.jobs.events import StopRequested, Submitted
from stream_infer.jobs.spec import decode_job
from stream_infer.jobs.status import Cause, State
from stream_infer.predictors.transform_type import TransformType
from stream_infer.settings import MIB
from tests.support.gateway import GatewayHarness, HttpClient
from tests.support.settings import settings_for


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("transform")


@pytest.fixture(scope="module")
def harness(bootstrap_servers: str, folder: Path) -> GatewayHarness:
    predictor = {"type": "sagemaker", "model": str(folder / "model.tar.gz")}
    (folder / "images").mkdir()
    (folder / "images" / "1.png").write_bytes(b"1")
    manifest = [{"prefix": f"{folder.as_uri()}/images/"}, "1.png"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    prefix = f"t-transform-{time.time_ns()}"
    sink = {"allowed_outputs": [f"{folder.as_uri()}/out"]}
    return GatewayHarness(settings_for(bootstrap_servers, prefix, folder, api={"predictor": predictor}, sink=sink))


@pytest.fixture(scope="module")
def client(harness: GatewayHarness) -> Iterator[HttpClient]:
    opened = source_opener(harness.settings, harness.store)
    with harness.gateway(read_source=lambda job: opened(job).read(None)) as client:
        yield client


def boto(url: str) -> Any:
    """SageMaker's client, which fails where an answer is none that SageMaker's own model has."""
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "local"}
    client = boto3.client("sagemaker", endpoint_url=url, config=Config(retries={"total_max_attempts": 1}), **keys)

    def check(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
        body = json.loads(response_dict["body"])
        assert response_dict["headers"]["content-type"] == "application/x-amz-json-1.1"
        if response_dict["status_code"] >= 300:
            shapes = {shape.name: set(shape.members) for shape in operation_model.error_shapes}
            assert body.keys() - {"__type"} == shapes.get(body["__type"], {"message"})
        elif operation_model.output_shape is None:
            assert body == {}
        else:
            report = ParamValidator().validate(body, operation_model.output_shape)
            assert not report.has_errors(), report.generate_report()

    client.meta.events.register("before-parse.sagemaker", check)
    return client


@pytest.fixture(scope="module")
def sagemaker(client: HttpClient) -> Any:
    return boto(client.url)


def asked(folder: Path, name: str, **changed: Any) -> dict[str, Any]:
    source = {"S3DataType": "ManifestFile", "S3Uri": f"{folder.as_uri()}/manifest.json"}
    return {
        "TransformJobName": name,
        "ModelName": "echo",
        "TransformInput": {"DataSource": {"S3DataSource": source}, "ContentType": "application/x-image"},
        "TransformOutput": {"S3OutputPath": f"{folder.as_uri()}/out", "AssembleWith": "Line"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **changed,
    }


def test_a_transform_job_is_a_job_in_our_words_and_is_described_in_sagemakers(
    harness: GatewayHarness, client: HttpClient, folder: Path
) -> None:
    body = asked(folder, "first")
    made = client("POST", "/v1/apis/echo/transform-jobs", body, status=200)

    assert made["TransformJobArn"].endswith(":transform-job/first")
    assert made["Ignored"].keys() == {"TransformResources/InstanceType"}
    [written] = [decode_job(m.value or b"") for m in harness.read(harness.topics.jobs) if m.key == b"first"]
    assert written.manifest is not None
    assert written.manifest.content_type == str(TransformType("application/x-image", max_bytes=6 * MIB))
    output, base = f"{folder.as_uri()}/out", f"{folder.as_uri()}/images/"
    assert written.assemble == Assemble(separator="line", output=output, base=base)
    [event] = harness.events("first")
    assert isinstance(event, Submitted)
    assert (event.assemble, event.workers) == (written.assemble, 1)

    described = client("GET", "/v1/apis/echo/transform-jobs/first", status=200)
    assert described["TransformJobStatus"] == "InProgress"
    assert described["TransformInput"] == body["TransformInput"]
    assert client("GET", "/v1/jobs/first", status=200)["api_name"] == "echo"

    # The path says which API it is of; a body that says another is refused.
    wrong = client("POST", "/v1/apis/echo/transform-jobs", body | {"ModelName": "cats"}, status=422)
    assert wrong["detail"] == "/ModelName: 'cats' is not this API, whose name is 'echo'"

    # The same again is the same job; another of its name is none.
    assert client("POST", "/v1/apis/echo/transform-jobs", body, status=200) == made
    other = body | {"MaxPayloadInMB": 1}
    taken = client("POST", "/v1/apis/echo/transform-jobs", other, status=409)
    assert (taken["type"], taken["title"]) == (
        "urn:stream-infer:problem:job-name-taken",
        "The TransformJobName is in use",
    )
    assert taken["detail"].endswith("transform-job/first, of API 'echo'): take another TransformJobName")
    assert len(harness.events("first")) == 1


def test_boto3_creates_describes_and_stops(harness: GatewayHarness, sagemaker: Any, folder: Path) -> None:
    made = sagemaker.create_transform_job(**asked(folder, "by-boto3"))
    assert made["TransformJobArn"].endswith(":transform-job/by-boto3")
    described = sagemaker.describe_transform_job(TransformJobName="by-boto3")
    assert described["TransformJobStatus"] == "InProgress"
    assert described["CreationTime"].timestamp() <= time.time() + 1

    harness.status("by-boto3", state=State.STOPPED, cause=Cause.STOP, times={"stopped": time.time()})
    sagemaker.stop_transform_job(TransformJobName="by-boto3")
    assert sagemaker.describe_transform_job(TransformJobName="by-boto3")["TransformJobStatus"] == "Stopped"
    assert not [event for event in harness.events("by-boto3") if isinstance(event, StopRequested)]

    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="another job with this name already exists"):
        sagemaker.create_transform_job(**asked(folder, "by-boto3", MaxPayloadInMB=1))


@pytest.mark.parametrize(
    ("call", "changed", "code"),
    [
        ("describe_transform_job", None, "ResourceNotFound"),
        ("create_transform_job", {"ModelName": "nobody"}, "ResourceNotFound"),
        ("create_transform_job", {"DataCaptureConfig": {"DestinationS3Uri": "s3://b/x"}}, "ValidationException"),
        ("create_transform_job", {"TransformOutput": {"S3OutputPath": "s3://elsewhere/x"}}, "ValidationException"),
        (
            "create_transform_job",
            {"TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 9}},
            "ResourceLimitExceeded",
        ),
        ("list_training_jobs", {}, "UnknownOperationException"),
    ],
)
def test_boto3_is_told_what_is_wrong_in_its_own_words(
    sagemaker: Any, folder: Path, call: str, changed: dict[str, Any] | None, code: str
) -> None:
    body = {"TransformJobName": "nobody"} if changed is None else asked(folder, "refused", **changed) if changed else {}
    with pytest.raises(ClientError) as caught:
        getattr(sagemaker, call)(**body)
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["Error"]["Message"]
    assert len(caught.value.response["ResponseMetadata"]["RequestId"]) == 16


def test_a_manifest_that_cannot_be_read_is_refused_at_once(client: HttpClient, folder: Path) -> None:
    body = asked(folder, "no-manifest")
    body["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] = f"{folder.as_uri()}/nothing.json"

    problem = client("POST", "/v1/apis/echo/transform-jobs", body, status=422)

    assert "nothing.json" in problem["detail"]
    client("GET", "/v1/jobs/no-manifest", status=404)


def test_a_job_that_is_no_transform_job_is_not_described_as_one(client: HttpClient) -> None:
    job = client("POST", "/v1/apis/echo/jobs", {"item_list": {"items": [1]}}, status=202)
    detail = client("GET", f"/v1/apis/echo/transform-jobs/{job['job_id']}", status=404)["detail"]
    assert "is no transform job" in detail


def test_jobs_are_listed_page_by_page_as_boto3_asks_for_them(
    harness: GatewayHarness, client: HttpClient, sagemaker: Any, folder: Path
) -> None:
    began = datetime.fromtimestamp(int(time.time()) - 1, UTC)
    names = [f"listed-{number}" for number in range(5)]
    for name in names:
        sagemaker.create_transform_job(**asked(folder, name))
    client("POST", "/v1/apis/echo/jobs", {"item_list": {"items": [1]}}, status=202)  # is none of them
    now = time.time()
    harness.status("listed-1", state=State.SUCCEEDED, times={"enqueuing": now, "succeeded": now + 7})
    harness.status("listed-2", state=State.COMPLETED_WITH_FAILURES, errors=("no space",), times={})

    newest = sagemaker.list_transform_jobs(NameContains="listed", MaxResults=2)
    assert [one["TransformJobName"] for one in newest["TransformJobSummaries"]] == ["listed-4", "listed-3"]
    pages = sagemaker.get_paginator("list_transform_jobs").paginate(
        NameContains="listed", SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 2}
    )
    shown = [[one["TransformJobName"] for one in page["TransformJobSummaries"]] for page in pages]
    assert shown == [names[:2], names[2:4], names[4:]]

    def listed(**wanted: Any) -> list[str]:
        found = sagemaker.list_transform_jobs(NameContains="listed", SortOrder="Ascending", **wanted)
        return [one["TransformJobName"] for one in found["TransformJobSummaries"]]

    assert listed(StatusEquals="InProgress") == ["listed-0", "listed-3", "listed-4"]
    assert listed(CreationTimeAfter=began) == names
    assert listed(CreationTimeBefore=began) == []
    assert listed(LastModifiedTimeAfter=datetime.fromtimestamp(now + 5, UTC)) == ["listed-1"]
    [failed] = sagemaker.list_transform_jobs(StatusEquals="Failed", NameContains="listed")["TransformJobSummaries"]
    assert (failed["TransformJobName"], failed["FailureReason"]) == ("listed-2", "no space")
    with pytest.raises(ClientError, match=r"ValidationException.*NextToken"):
        sagemaker.list_transform_jobs(NextToken="none")


def test_a_script_that_names_no_endpoint_finds_it_in_its_environment(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ENDPOINT_URL_SAGEMAKER", client.url), ("ACCESS_KEY_ID", "any"), ("SECRET_ACCESS_KEY", "any")):
        monkeypatch.setenv(f"AWS_{name}", value)
    assert boto3.client("sagemaker", region_name="us-east-1").list_models()["Models"][0]["ModelName"] == "echo"


def test_models_are_names_of_apis_that_every_gateway_knows(
    harness: GatewayHarness, client: HttpClient, sagemaker: Any, folder: Path
) -> None:
    model = str(folder / "model.tar.gz")
    described = sagemaker.describe_model(ModelName="echo")
    assert described["ModelArn"] == "arn:aws:sagemaker:local:000000000000:model/echo"

    made = sagemaker.create_model(
        ModelName="echo", PrimaryContainer={"Image": "pytorch:2", "ModelDataUrl": model}, ExecutionRoleArn="r" * 20
    )
    assert made["ModelArn"] == described["ModelArn"]
    ignored = made["ResponseMetadata"]["HTTPHeaders"]["x-stream-infer-ignored"]
    assert ignored == "ExecutionRoleArn, PrimaryContainer/Image"
    with pytest.raises(ClientError, match=r"ValidationException.*Cannot create already existing model"):
        sagemaker.create_model(ModelName="echo")
    sagemaker.create_model(
        ModelName="Echo-2026", PrimaryContainer={"Environment": {"STREAM_INFER_API": "echo"}}, Tags=[]
    )

    # Another gateway has them, and one that starts later, too.
    with harness.gateway() as second:
        other = boto(second.url)
        assert other.describe_model(ModelName="echo")["PrimaryContainer"]["Image"] == "pytorch:2"
        pages = other.get_paginator("list_models").paginate(PaginationConfig={"PageSize": 1}, SortBy="Name")
        assert [one["ModelName"] for page in pages for one in page["Models"]] == ["echo", "Echo-2026"]

    sagemaker.create_transform_job(**asked(folder, "by-alias", ModelName="Echo-2026"))
    assert client("GET", "/v1/jobs/by-alias", status=200)["api_name"] == "echo"
    assert sagemaker.describe_transform_job(TransformJobName="by-alias")["ModelName"] == "Echo-2026"

    for name in ("echo", "Echo-2026"):
        sagemaker.delete_model(ModelName=name)
        with pytest.raises(ClientError, match=r'ValidationException.*Could not find model "arn:aws:sagemaker'):
            sagemaker.delete_model(ModelName=name)
    with pytest.raises(ClientError, match="Could not find model"):
        sagemaker.describe_model(ModelName="Echo-2026")
    with pytest.raises(ClientError, match=r"Could not find model.*It is an API, of which no model was made"):
        sagemaker.delete_model(ModelName="echo")
    assert "PrimaryContainer" not in sagemaker.describe_model(ModelName="echo")
    assert [one["ModelName"] for one in sagemaker.list_models()["Models"]] == ["echo"]
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.create_transform_job(**asked(folder, "by-none", ModelName="Echo-2026"))


def test_an_api_that_has_come_later_is_what_its_name_leads_to(harness: GatewayHarness, sagemaker: Any) -> None:
    sagemaker.create_model(ModelName="later", PrimaryContainer={"Environment": {"STREAM_INFER_API": "echo"}})
    [api] = harness.settings.apis
    two = harness.settings.model_copy(update={"apis": [api, api.model_copy(update={"name": "later"})]})
    with harness.gateway(two) as later:
        assert "PrimaryContainer" not in boto(later.url).describe_model(ModelName="later")
        assert [one["ModelName"] for one in boto(later.url).list_models()["Models"]] == ["later", "echo"]
    sagemaker.delete_model(ModelName="later")


def test_a_model_that_no_api_serves_says_what_to_do(sagemaker: Any) -> None:
    container = {"Image": "pytorch:2", "ModelDataUrl": "s3://models/cats.tar.gz"}
    with pytest.raises(ClientError, match=r'STREAM_INFER_API.*"name": "cats", "predictor"') as caught:
        sagemaker.create_model(ModelName="cats", PrimaryContainer=container)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_no_more_models_than_there_may_be(sagemaker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sagemaker_models, "MOST_MODELS", 1)
    to_echo = {"Environment": {"STREAM_INFER_API": "echo"}}
    sagemaker.create_model(ModelName="one", PrimaryContainer=to_echo)
    with pytest.raises(sagemaker.exceptions.ResourceLimitExceeded, match="1 models are there"):
        sagemaker.create_model(ModelName="two", PrimaryContainer=to_echo)
    sagemaker.delete_model(ModelName="one")


def test_a_job_that_says_no_resources_is_described_as_one_that_does(
    client: HttpClient, sagemaker: Any, folder: Path
) -> None:
    body = asked(folder, "no-resources")
    del body["TransformResources"], body["ModelName"]
    client("POST", "/v1/apis/echo/transform-jobs", body, status=200)
    described = sagemaker.describe_transform_job(TransformJobName="no-resources")
    assert described["TransformResources"] == {"InstanceType": "local", "InstanceCount": 1}
    assert described["ModelName"] == "echo"


def test_a_fault_of_our_own_is_told_as_aws_tells_its_own(sagemaker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sagemaker_models.Models, "describe", None)
    with pytest.raises(ClientError, match=r"InternalFailure.*the server's own fault"):
        sagemaker.describe_model(ModelName="echo")
