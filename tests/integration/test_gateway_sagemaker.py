"""Transform jobs at the gateway, by HTTP and by boto3 as SageMaker's client; the test writes what the tracker would."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from stream_infer.cli.composition import source_opener
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


@pytest.fixture(scope="module")
def sagemaker(client: HttpClient) -> Any:
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "local"}
    return boto3.client("sagemaker", endpoint_url=client.url, **keys)


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
        ("list_transform_jobs", {}, "ValidationException"),
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
