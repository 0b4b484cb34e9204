"""A model.tar.gz in S3, transform jobs by prefix and by manifest from the shell, and boto3 as SageMaker's client."""

import gzip
import io
import json
import subprocess
import sys
import tarfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import requests
import torch

from examples.digits.packing import Packed, manifest_of, pack
from tests.support.s3_fixture import S3Server, with_new_bucket
from tests.support.up_process import UpProcess, up_in, wait_for, write_config

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
# One function in place of three.
SPELLING = b"""
def model_fn(model_dir):
    return str.upper
def transform_fn(model, body, content_type, accept):
    return (f"{content_type} {model(body.decode())[:9]}").encode(), accept
"""
WAITING = b"""
import os, time
def model_fn(model_dir):
    return None
def transform_fn(model, body, content_type, accept):
    if body == b"wait":
        print("at the gate", flush=True)
        while not os.path.exists(os.environ["GATE"]):
            time.sleep(0.005)
    if body == b"slow":
        time.sleep(0.05)
    return body, accept
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    return pack(tmp_path_factory.mktemp("digits"))


class Cloud:
    """A bucket with the models, the images and a manifest, and `up` beside it."""

    def __init__(self, s3: S3Server, up: UpProcess, gateway: str, gate: Path) -> None:
        self.s3, self.up, self.gateway, self.gate = s3, up, gateway, gate
        self.client = s3.client()
        self.sagemaker = boto3.client("sagemaker", endpoint_url=gateway)

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
    """`code__inference_py` is code/inference.py."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(".".join(name.replace("__", "/").rsplit("_", 1)))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


class Tripling(torch.nn.Module):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows * 3


def torchscript() -> bytes:
    data = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated by torch, and what the container loads
        torch.jit.save(torch.jit.script(Tripling()), data)
    return data.getvalue()


def api(s3: S3Server, name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "predictor": {
            "type": "sagemaker",
            "model": f"s3://{s3.bucket}/models/{name}/model.tar.gz",
            "env": more.pop("env", {}),
        },
        "partitions": 2,
        "batching": {"max_batch_size": 64},
        "retry": {"max_attempts": 1},
        "workers": {"min": 0, "max": 2, "idle_seconds": 2},
        **more,
    }


@pytest.fixture(scope="module")
def cloud(s3_server: S3Server, packed: Packed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One of each S3 server for all tests here."""
    s3, folder = with_new_bucket(s3_server), tmp_path_factory.mktemp("cloud")
    models = {
        "digits": packed.model.read_bytes(),
        "adding": tar_of(code__inference_py=ADDING),
        "net": tar_of(model_pt=torchscript()),
        "spelling": tar_of(code__inference_py=SPELLING),
        "waiting": tar_of(code__inference_py=WAITING),
    }
    apis = [
        api(s3, "digits", workers={"min": 1, "max": 1}),
        api(s3, "adding", workers={"min": 1, "max": 1}),
        api(s3, "net"),
        api(s3, "spelling"),
        api(s3, "waiting", partitions=1, batching={"max_batch_size": 1}, env={"GATE": str(folder / "gate")}),
    ]
    config = write_config(
        folder,
        apis=apis,
        fetch={"allowed_s3_prefixes": [f"s3://{s3.bucket}/in"]},
        sink={"allowed_outputs": [f"s3://{s3.bucket}/out"], "flush_age": 1.0},
    )
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in s3.environment().items():
            monkeypatch.setenv(name, value)
        client = s3.client()
        for name, archive in models.items():
            client.put_object(Bucket=s3.bucket, Key=f"models/{name}/model.tar.gz", Body=archive)
        with up_in(folder, config) as up:
            yield Cloud(s3, up, up.wait_until_ready()["gateway"], folder / "gate")


def accuracy(objects: dict[str, bytes], labels: dict[str, int]) -> float:
    assert objects.keys() == {f"{name}.out" for name in labels}
    right = sum(json.loads(objects[f"{name}.out"])["digit"] == label for name, label in labels.items())
    return right / len(labels)


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
    sagemaker = cloud.sagemaker
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
    sagemaker = cloud.sagemaker
    described = sagemaker.describe_transform_job(TransformJobName="rows")
    assert described["TransformJobStatus"] == "Failed"
    assert "1 of 504 records failed" in described["FailureReason"]
    assert described["DataProcessing"] == {"InputFilter": "$[1:]", "OutputFilter": "$[0,-1]", "JoinSource": "Input"}
    logs = cloud.shell("logs", "rows").stdout
    assert "rows are added" in logs
    failed = cloud.shell("dlq", "ls", "rows").stdout
    assert "ValueError" in failed


def transform(cloud: Cloud, api: str, prefix: str, output: str, *options: str, code: int = 0) -> dict[str, bytes]:
    """Its objects below `output`, by their keys."""
    ran = cloud.shell(
        "transform", api, "--input", cloud.uri(prefix), "--output", cloud.uri(output), *options, "--wait"
    )  # fmt: skip
    assert ran.returncode == code, ran.stdout + ran.stderr + cloud.up.text()
    return cloud.objects(output + "/")


def npy(array: Any) -> bytes:
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


def test_a_model_without_code_has_the_containers_functions_of_npy_csv_and_json(cloud: Cloud) -> None:
    # Given a TorchScript model alone, two arrays, and rows that are packed though their names do not say so
    arrays = {"a.npy": np.array([[1.5, 2.0], [3.0, 4.0]], np.float32), "deep/b.npy": np.arange(3, dtype=np.float64)}
    for name, array in arrays.items():
        cloud.put(f"in/arrays/{name}", npy(array))
    cloud.put("in/packed/a", gzip.compress(b"1,2\n3,4.5\n"))
    cloud.put("in/packed/b", gzip.compress(b"5,6\n"))

    # NPY in and out: shape and type are kept
    npys = transform(
        cloud, "net", "in/arrays/", "out/arrays", "--content-type", "application/x-npy", "--accept", "application/x-npy"
    )
    assert npys.keys() == {f"{name}.out" for name in arrays}
    for name, array in arrays.items():
        answer = np.load(io.BytesIO(npys[f"{name}.out"]), allow_pickle=False)
        np.testing.assert_array_equal(answer, array * 3)

    # CSV in, JSON out, of each line of what Gzip packed
    rows = transform(
        cloud, "net", "in/packed/", "out/packed", "--content-type", "text/csv", "--accept", "application/json",
        "--compression", "Gzip", "--split-type", "Line", "--assemble-with", "Line",
    )  # fmt: skip
    assert rows == {"a.out": b"[3.0, 6.0]\n[9.0, 13.5]\n", "b.out": b"[15.0, 18.0]\n"}


def test_a_transform_fn_gets_what_fits_and_as_many_workers_as_transforms_may_run(cloud: Cloud) -> None:
    cloud.put("in/texts/a.txt", b"small")
    cloud.put("in/texts/b.txt", b"x" * (1 << 20))
    cloud.put("in/texts/c.txt", b"y" * ((1 << 20) + 1))
    body = {
        "TransformJobName": "spelled",
        "ModelName": "spelling",
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": cloud.uri("in/texts/")}},
            "ContentType": "text/plain",
        },
        "TransformOutput": {"S3OutputPath": cloud.uri("out/texts"), "Accept": "text/plain"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        "MaxPayloadInMB": 1,
        "MaxConcurrentTransforms": 2,
    }

    # When it is submitted over HTTP, in SageMaker's words
    made = requests.post(f"{cloud.gateway}/v1/apis/spelling/transform-jobs", json=body, timeout=PATIENCE_S)
    assert made.status_code == 200, made.text
    described = described_at_its_end(cloud.sagemaker, "spelled")

    # Then what has a byte too many has failed, and says which limit to raise
    assert (described["MaxPayloadInMB"], described["MaxConcurrentTransforms"]) == (1, 2)
    assert described["TransformJobStatus"] == "Failed"
    assert "1 of 3 records failed" in described["FailureReason"]
    assert cloud.objects("out/texts/") == {
        "a.txt.out": b"text/plain SMALL",
        "b.txt.out": b"text/plain XXXXXXXXX",
    }
    said = cloud.shell("dlq", "ls", "spelled").stdout
    assert "c.txt" in said
    assert "raise MaxPayloadInMB" in " ".join(said.split())
    assert "spelling: 0 → 2 workers (1 job under way that wants 2" in cloud.up.text()


def test_a_transform_job_is_stopped_by_boto3_and_what_was_whole_is_there(cloud: Cloud) -> None:
    # Given a job of which one object is done, and another has begun
    cloud.put("in/lines/a", b"one\ntwo\n")
    cloud.put("in/lines/b", b"three\nwait\n" + b"slow\n" * 2000)
    cloud.sagemaker.create_transform_job(
        TransformJobName="endless",
        ModelName="waiting",
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": cloud.uri("in/lines/")}},
            "ContentType": "text/plain",
            "SplitType": "Line",
        },
        TransformOutput={"S3OutputPath": cloud.uri("out/lines"), "AssembleWith": "Line", "Accept": "text/plain"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    wait_for(lambda: "at the gate" in cloud.up.text(), PATIENCE_S, cloud.up.text)
    describe = cloud.sagemaker.describe_transform_job
    assert describe(TransformJobName="endless")["TransformJobStatus"] == "InProgress"

    # When it is stopped, and the record that had begun ends
    cloud.sagemaker.stop_transform_job(TransformJobName="endless")
    assert describe(TransformJobName="endless")["TransformJobStatus"] == "Stopping"
    cloud.gate.touch()

    # Then it ends with what the worker has been given by then, and no object is there in part
    stopped = described_at_its_end(cloud.sagemaker, "endless")
    assert (stopped["TransformJobStatus"], stopped.get("FailureReason")) == ("Stopped", None)
    counts = requests.get(f"{cloud.gateway}/v1/jobs/endless", timeout=PATIENCE_S).json()["counts"]
    assert 4 <= counts["succeeded"] <= counts["enqueued"] < 2004
    assert counts["succeeded"] + counts["skipped"] == counts["enqueued"]
    assert cloud.objects("out/lines/") == {"a.out": b"one\ntwo\n"}
