"""A real S3 server on this machine, versitygw, with pictures in its bucket."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from stream_infer.local.free_ports import find_free
from stream_infer.local.kafka_jars import default_cache_dir
from stream_infer.local.leashed import LeashedProcess

VERSITYGW = default_cache_dir() / "bin" / "versitygw"
_BUCKET = "pictures"
_KEY = "bench-key"
_START_S = 30.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """`environment` is what a process needs to find it by boto3's own rules; `pid` the server's."""

    prefix: str
    uris: tuple[str, ...]
    environment: dict[str, str]
    pid: int


@contextmanager
def serve(files: Sequence[Path], folder: Path) -> Iterator[Bucket]:
    """`files` as objects of a bucket; `folder` holds the server's data and log."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    [port] = find_free(1)
    command = [str(VERSITYGW), "--port", f"127.0.0.1:{port}", "posix", str(folder / "data")]
    keys = {"ROOT_ACCESS_KEY": _KEY, "ROOT_SECRET_KEY": _KEY}
    url = f"http://127.0.0.1:{port}"
    environment = {
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ACCESS_KEY_ID": _KEY,
        "AWS_SECRET_ACCESS_KEY": _KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with LeashedProcess.start(command, output=folder / "log", env={**os.environ, **keys}, grace_s=2) as process:
        client = boto3.client(
            "s3", endpoint_url=url, aws_access_key_id=_KEY, aws_secret_access_key=_KEY, region_name="us-east-1"
        )
        deadline = time.monotonic() + _START_S
        while True:
            try:
                client.create_bucket(Bucket=_BUCKET)
                break
            except (BotoCoreError, ClientError):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        for file in files:
            client.put_object(Bucket=_BUCKET, Key=file.name, Body=file.read_bytes())
        client.close()
        uris = tuple(f"s3://{_BUCKET}/{file.name}" for file in files)
        yield Bucket(f"s3://{_BUCKET}/", uris, environment, process.pid)
