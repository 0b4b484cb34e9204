"""A model.tar.gz in S3, transform jobs by prefix and by manifest from the shell, and boto3 as SageMaker's client."""

import io
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from examples.digits.packing import Packed, manifest_of, pack
from tests.support.s3_fixture import S3Server
from tests.support.up_process import UpProcess, up_in, write_config

ENOUGH = 0.94
PATIENCE_S = 120.0
ADDING = b"""
def model_fn(model_dir):
    print("adding is loaded")
    return 0
def input_fn(body, content_type):
    return [[int(cell) for cell in line.split(",")] for line in body.splitlines()]
def predict_fn(rows, model):
    print(f"{len(rows)} rows are added")
    return [sum(row) for row in rows]
def output_fn(sums, accept):
    return "".join(f"{one}\\n" for one in sums), accept
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    return pack(tmp_path_factory.mktemp("digits"))


class Cloud:
    """A bucket with the models, the images and a manifest, and `up` beside it."""

    def __init__(self, s3: S3Server, up: UpProcess, gateway: str) -> None:
        self.s3, self.up, self.gateway = s3, up, gateway
        self.client = s3.client()

    def shell(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "stream_infer", *arguments, "--gateway", self.gateway]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.s3.bucket, Key=key, Body=data)

    def objects(self, prefix: str) -> dict[str, bytes]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.s3.bucket, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", []) if not entry["Key"].endswith("/")]
        read = self.client.get_object
        return {key.removeprefix(prefix): read(Bucket=self.s3.bucket, Key=key)["Body"].read() for key in keys}

    def uri(self, key: str) -> str:
        return f"s3://{self.s3.bucket}/{key}"


def tar_of(**files: bytes) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name.replace("__", "/") + ".py")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


@pytest.fixture
def cloud(s3: S3Server, packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    client, bucket = s3.client(), s3.bucket
    client.put_object(Bucket=bucket, Key="models/digits/model.tar.gz", Body=packed.model.read_bytes())
    client.put_object(Bucket=bucket, Key="models/adding/model.tar.gz", Body=tar_of(code__inference=ADDING))
    apis = [
        {
            "name": name,
            "predictor": {"type": "sagemaker", "model": f"s3://{bucket}/models/{name}/model.tar.gz"},
            "partitions": 2,
            "batching": {"max_batch_size": 64},
            "retry": {"max_attempts": 1},
            "workers": {"min": 1, "max": 1},
        }
        for name in ("digits", "adding")
    ]
    config = write_config(
        tmp_path,
        apis=apis,
        fetch={"allowed_s3_prefixes": [f"s3://{bucket}/in"]},
        sink={"allowed_outputs": [f"s3://{bucket}/out"], "flush_age": 1.0},
    )
    with up_in(tmp_path, config) as up:
        yield Cloud(s3, up, up.wait_until_ready()["gateway"])


def accuracy(objects: dict[str, bytes], labels: dict[str, int]) -> float:
    assert objects.keys() == {f"{name}.out" for name in labels}
    right = sum(json.loads(objects[f"{name}.out"])["digit"] == label for name, label in labels.items())
    return right / len(labels)


@pytest.mark.timeout(300)
def test_a_thousand_digits_by_prefix_and_by_manifest(cloud: Cloud, packed: Packed) -> None:
    # Given a thousand scans in a bucket, and a manifest of them
    names = sorted(packed.labels)
    for name in names:
        cloud.put(f"in/images/{name}", (packed.images / name).read_bytes())
    cloud.put("in/manifest.json", manifest_of(cloud.uri("in/images/"), names))

    # When they go through the model by prefix, from the shell
    ran = cloud.shell(
        "transform", "digits", "--input", cloud.uri("in/images/"), "--output", cloud.uri("out/prefix"),
        "--content-type", "application/x-image", "--assemble-with", "Line", "--instances", "1",
        "--name", "by-prefix", "--wait",
    )  # fmt: skip

    # Then each has its answer, most are right, and what the model printed is in the job's log
    assert ran.returncode == 0, ran.stdout + ran.stderr + cloud.up.text()
    objects = cloud.objects("out/prefix/")
    assert accuracy(objects, packed.labels) >= ENOUGH
    assert objects["0000.png.out"].endswith(b"}\n")

    # and by manifest, with boto3 as SageMaker's own users have it
    sagemaker = boto3.client("sagemaker", endpoint_url=cloud.gateway)
    made = sagemaker.create_transform_job(
        TransformJobName="by-manifest",
        ModelName="digits",
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": cloud.uri("in/manifest.json")}},
            "ContentType": "application/x-image",
        },
        TransformOutput={"S3OutputPath": cloud.uri("out/manifest"), "Accept": "application/json"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    assert made["TransformJobArn"].endswith("transform-job/by-manifest")
    described = described_at_its_end(sagemaker, "by-manifest")
    assert described["TransformJobStatus"] == "Completed", described
    assert described["TransformEndTime"] >= described["CreationTime"]
    assert accuracy(cloud.objects("out/manifest/"), packed.labels) >= ENOUGH
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_transform_job(TransformJobName="nobody")


def described_at_its_end(sagemaker: Any, name: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        described = sagemaker.describe_transform_job(TransformJobName=name)
        if described["TransformJobStatus"] not in ("InProgress", "Stopping"):
            return dict(described)
        assert time.monotonic() < deadline, described
        time.sleep(0.2)


@pytest.mark.timeout(300)
def test_lines_are_joined_filtered_and_assembled_and_a_bad_one_leaves_its_object_out(cloud: Cloud) -> None:
    # Given rows of an id and numbers, in two good files and one with a bad row
    cloud.put("in/rows/a.csv", b"id1,1,2\nid2,3,4\n")
    cloud.put("in/rows/deep/b.csv", b"".join(b"id%d,%d,1\n" % (n, n) for n in range(500)))
    cloud.put("in/rows/bad.csv", b"id1,1,2\nid2,three,4\n")

    # When the numbers alone go through the model, many rows a request, and come back beside their ids
    ran = cloud.shell(
        "transform", "adding", "--input", cloud.uri("in/rows/"), "--output", cloud.uri("out/rows"),
        "--content-type", "text/csv", "--accept", "text/csv", "--split-type", "Line", "--assemble-with", "Line",
        "--batch-strategy", "MultiRecord", "--input-filter", "$[1:]", "--join-source", "Input",
        "--output-filter", "$[0,-1]", "--name", "rows", "--wait",
    )  # fmt: skip

    # Then the job has failures, and all but the file with the bad row its object
    assert ran.returncode == 1, ran.stdout + ran.stderr + cloud.up.text()
    assert cloud.objects("out/rows/") == {
        "a.csv.out": b"id1,3\nid2,7\n",
        "deep/b.csv.out": b"".join(b"id%d,%d\n" % (n, n + 1) for n in range(500)),
    }
    sagemaker = boto3.client("sagemaker", endpoint_url=cloud.gateway)
    described = sagemaker.describe_transform_job(TransformJobName="rows")
    assert described["TransformJobStatus"] == "Failed"
    assert "1 of 504 records failed" in described["FailureReason"]
    assert described["DataProcessing"] == {"InputFilter": "$[1:]", "OutputFilter": "$[0,-1]", "JoinSource": "Input"}
    logs = cloud.shell("logs", "rows").stdout
    assert "rows are added" in logs
    failed = cloud.shell("dlq", "ls", "rows").stdout
    assert "ValueError" in failed
