"""What a script of SageMaker's finds: a bucket with a model in it, `up` with that model's API, keys that AWS's clients
sign with, and a gateway that asks for them."""

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.support.s3_fixture import S3Server, with_new_bucket
from tests.support.up_process import UpProcess, up_in, write_config

PATIENCE_S = 200.0
ARCHIVE = "models/shouter.tar.gz"
# Its own words in capitals; one line fails, and one waits for the test.
SHOUTING = b"""
import os, time
def model_fn(model_dir):
    return str.upper
def transform_fn(model, body, content_type, accept):
    if body == b"bad":
        raise ValueError("bad")
    if body == b"wait":
        print("at the gate", flush=True)
        while not os.path.exists(os.environ["GATE"]):
            time.sleep(0.005)
    return model(body.decode()).encode(), accept
"""


class Account:
    """A bucket, and clients that sign as a profile of AWS's says: `nightly` may submit, `looking` may read."""

    def __init__(self, s3: S3Server, up: UpProcess, gateway: str, folder: Path) -> None:
        self.s3, self.up, self.gateway, self.folder = s3, up, gateway, folder
        self.client = s3.client()

    @property
    def gate(self) -> Path:
        """The line `wait` waits until it is there."""
        return self.folder / "gate"

    def sagemaker(self, profile: str) -> Any:
        session = boto3.Session(profile_name=profile, region_name="eu-central-1")
        config = Config(retries={"total_max_attempts": 1})
        return session.client("sagemaker", endpoint_url=self.gateway, config=config)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.s3.bucket, Key=key, Body=data)

    def read(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=self.s3.bucket, Key=key)["Body"].read())

    def job(self, name: str, model: str, prefix: str, **changed: Any) -> dict[str, Any]:
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{self.s3.bucket}/{prefix}"}
        return {
            "TransformJobName": name,
            "ModelName": model,
            "TransformInput": {
                "DataSource": {"S3DataSource": source},
                "ContentType": "text/plain",
                "SplitType": "Line",
            },
            "TransformOutput": {
                "S3OutputPath": f"s3://{self.s3.bucket}/out/{name}",
                "Accept": "text/plain",
                "AssembleWith": "Line",
            },
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
            **changed,
        }


@contextmanager
def account_at(server: S3Server, folder: Path) -> Iterator[Account]:
    """In the environment of this process meanwhile: where S3 is, and the profiles."""
    s3 = with_new_bucket(server)
    predictor = {"type": "sagemaker", "model": f"s3://{s3.bucket}/{ARCHIVE}", "env": {"GATE": str(folder / "gate")}}
    api = {
        "name": "shouter",
        "predictor": predictor,
        "partitions": 1,
        "batching": {"max_batch_size": 1},
        "retry": {"max_attempts": 1},
        "workers": {"min": 1, "max": 1},
    }
    config = write_config(
        folder,
        apis=[api],
        fetch={"allowed_s3_prefixes": [f"s3://{s3.bucket}/in"]},
        sink={"allowed_outputs": [f"s3://{s3.bucket}/out"], "flush_age": 1.0},
    )
    config.write_text(config.read_text().replace("gateway:\n", "gateway:\n  api_keys_file: keys.yaml\n"))
    credentials = folder / "credentials"
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in {**s3.environment(), "AWS_SHARED_CREDENTIALS_FILE": str(credentials)}.items():
            monkeypatch.setenv(name, value)
        credentials.write_text(_new_key(config, "nightly", "read", "submit") + _new_key(config, "looking", "read"))
        s3.client().put_object(Bucket=s3.bucket, Key=ARCHIVE, Body=_archive())
        with up_in(folder, config) as up:
            yield Account(s3, up, up.wait_until_ready()["gateway"], folder)


def _archive() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        info = tarfile.TarInfo("code/inference.py")
        info.size = len(SHOUTING)
        tar.addfile(info, io.BytesIO(SHOUTING))
    return data.getvalue()


def _new_key(config: Path, name: str, *scopes: str) -> str:
    """A profile of AWS's, as the command prints it."""
    command = [sys.executable, "-m", "stream_infer", "--file", str(config), "keys", "new", name, "--sigv4", "--add"]
    for scope in scopes:
        command += ["--scope", scope]
    made = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, check=True, cwd=config.parent, env=os.environ
    )
    return made.stdout
