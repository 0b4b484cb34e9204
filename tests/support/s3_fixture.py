"""Real S3 servers: versitygw, which checks secrets, checksums and conditions, and moto, which needs no Go."""

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stream_infer.local.free_ports import find_free
from stream_infer.local.kafka_jars import default_cache_dir
from stream_infer.local.leashed import LeashedProcess
from tests.support.services import missing

ROOT = Path(__file__).parents[2]
KINDS = ("versitygw", "moto")
VERSITYGW = default_cache_dir() / "bin" / "versitygw"
READY_WITHIN_S = 30.0


@dataclass(frozen=True)
class S3Server:
    """Where an S3 server is, and an empty bucket of the test's own."""

    endpoint_url: str
    access_key: str
    secret_key: str
    bucket: str = ""
    region: str = "us-east-1"
    # Where it has a second account: what makes one.
    admin: tuple[str, ...] = ()

    def client(self) -> Any:
        """A boto3 client that fails at once instead of retrying."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, s3={"addressing_style": "path"}),
        )

    def denying(self, prefix: str) -> "S3Server":
        """The server as an account sees it that may list the bucket and read it, but for what is below `prefix`.

        moto has one account, which may do everything: there it is the same server.
        """
        if not self.admin:
            return self
        name = f"reader-{uuid.uuid4().hex[:8]}"
        subprocess.run([*self.admin, "create-user", "-a", name, "-s", name, "-r", "user"], check=True, timeout=30)
        client, bucket = self.client(), f"arn:aws:s3:::{self.bucket}"
        rules = [
            ("Allow", "s3:ListBucket", bucket),
            ("Allow", "s3:GetObject", f"{bucket}/*"),
            ("Deny", "s3:GetObject", f"{bucket}/{prefix}*"),
        ]
        statements = [
            {"Effect": effect, "Principal": {"AWS": [name]}, "Action": [action], "Resource": [resource]}
            for effect, action, resource in rules
        ]
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        client.put_bucket_policy(Bucket=self.bucket, Policy=policy)
        client.close()
        return replace(self, access_key=name, secret_key=name, admin=())

    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to find this server with boto3's own rules."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
        }


@contextmanager
def serving(kind: str, folder: Path) -> Iterator[S3Server]:
    """One of `KINDS`, without a bucket; what it keeps lies in `folder`."""
    [port] = find_free(1)
    server = S3Server(f"http://127.0.0.1:{port}", "test-access-key", "test-secret-key")
    if kind == "versitygw":
        for name in ("data", "accounts"):
            (folder / name).mkdir()
        binary, accounts = str(_versitygw()), str(folder / "accounts")
        command = [binary, "--port", f"127.0.0.1:{port}", "--iam-dir", accounts, "posix", str(folder / "data")]
        root = ("-a", server.access_key, "-s", server.secret_key, "-er", server.endpoint_url)
        server = replace(server, admin=(binary, "admin", *root))
    else:
        command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    keys = {"ROOT_ACCESS_KEY": server.access_key, "ROOT_SECRET_KEY": server.secret_key}
    with LeashedProcess.start(command, output=folder / "log", env={**os.environ, **keys}, grace_s=2) as process:
        _wait_until_it_answers(server, process, folder / "log")
        yield server


@pytest.fixture(scope="session", params=KINDS)
def s3_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Each S3 server in turn, without a bucket."""
    with serving(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server) -> S3Server:
    """A real S3 server with an empty bucket of this test's own. The test runs once a server."""
    return with_new_bucket(s3_server)


def with_new_bucket(server: S3Server) -> S3Server:
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    client = server.client()
    client.create_bucket(Bucket=bucket)
    client.close()
    return replace(server, bucket=bucket)


def _versitygw() -> Path:
    if not VERSITYGW.exists() and shutil.which("go") and shutil.which("make"):
        subprocess.run(["make", "-s", "versitygw"], cwd=ROOT, check=False)
    if not VERSITYGW.exists():
        missing(f"versitygw is not in {VERSITYGW.parent} and could not be built: Go is needed (make versitygw)")
    return VERSITYGW


def _wait_until_it_answers(server: S3Server, process: LeashedProcess, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    client = server.client()
    while True:
        try:
            client.list_buckets()
            break
        except (BotoCoreError, ClientError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                missing(f"the S3 server does not answer: {error}\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
    client.close()
