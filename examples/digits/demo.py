"""1,000 scans of digits through a model.tar.gz and a real Kafka: SageMaker's transform jobs, by prefix and by manifest.

python -m examples.digits.demo      (with versitygw as S3 where it is there, else with a directory, by manifest alone)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from connectors.stores import open_store
from examples.digits.packing import Packed, manifest_of, pack
from stream_infer.local.free_ports import find_free
from stream_infer.local.kafka_jars import default_cache_dir
from stream_infer.local.leashed import LeashedProcess

API = "digits"
CONFIG = Path("examples/digits/stream-infer.yaml")
FOLDER = Path(".stream-infer/digits").absolute()
VERSITYGW = default_cache_dir() / "bin" / "versitygw"
ENOUGH = 0.94
START_S, STOP_S, S3_START_S = 600.0, 75.0, 30.0


def main() -> int:
    os.chdir(Path(__file__).parents[2])
    packed = pack(FOLDER / "objects")
    print(f"a network is trained and packed: {packed.model}")
    with objects(packed) as place, everything_up() as gateway:
        ways = {"--manifest": f"{place}/manifest.json"}
        if place.startswith("s3://"):
            ways["--input"] = f"{place}/images/"
        enough = [run(gateway, place, *way, packed.labels) for way in ways.items()]
    return 0 if all(enough) else 1


@contextmanager
def objects(packed: Packed) -> Iterator[str]:
    """Where images and manifest lie: a bucket of a real S3 server, or, without one, the folder itself."""
    names = sorted(packed.labels)
    if not VERSITYGW.exists():
        print(f"no S3 server ({VERSITYGW} is not there, `make versitygw` builds it): a directory stands for it")
        (FOLDER / "objects" / "manifest.json").write_bytes(manifest_of(f"{packed.images.as_uri()}/", names))
        yield packed.images.parent.as_uri()
        return
    (FOLDER / "s3").mkdir(exist_ok=True)
    [port] = find_free(1)
    key = "digits-demo"
    os.environ |= {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": key,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    command = [str(VERSITYGW), "--port", f"127.0.0.1:{port}", "posix", str(FOLDER / "s3")]
    environment = {**os.environ, "ROOT_ACCESS_KEY": key, "ROOT_SECRET_KEY": key}
    with LeashedProcess.start(command, output=FOLDER / "s3.log", grace_s=2, env=environment):
        client = boto3.client("s3")
        make_bucket(client)
        for name in names:
            client.put_object(Bucket=API, Key=f"images/{name}", Body=(packed.images / name).read_bytes())
        client.put_object(Bucket=API, Key="manifest.json", Body=manifest_of(f"s3://{API}/images/", names))
        print(f"{len(names)} images and a manifest are in s3://{API}")
        yield f"s3://{API}"


def make_bucket(client: Any) -> None:
    deadline = time.monotonic() + S3_START_S
    while True:
        try:
            if API not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
                client.create_bucket(Bucket=API)
            return
        except (BotoCoreError, ClientError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextmanager
def everything_up() -> Iterator[str]:
    """The gateway's URL, while `stream-infer up` serves."""
    [port] = find_free(1)
    ready, log = FOLDER / "ready.json", FOLDER / "up.log"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "stream_infer", "up", "-f", str(CONFIG), "--ready-file", str(ready)]
    environment = {**os.environ, "STREAM_INFER__GATEWAY__LISTEN": f"127.0.0.1:{port}"}
    print(f"$ stream-infer up -f {CONFIG}        (log: {log})")
    with LeashedProcess.start(command, output=log, grace_s=STOP_S, env=environment) as up:
        deadline = time.monotonic() + START_S
        while not ready.exists():
            if up.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(
                    f"{log.read_text(errors='replace')[-3000:]}\nthe demo could not start everything: {log}"
                )
            time.sleep(0.1)
        yield str(json.loads(ready.read_text())["gateway"])


def run(gateway: str, place: str, option: str, source: str, labels: Mapping[str, int]) -> bool:
    """One transform job, as from the shell; whether enough of its answers are right."""
    output = f"{place}/out/{option.strip('-')}"
    arguments = [option, source, "--output", output, "--content-type", "application/x-image", "--assemble-with", "Line"]
    print("$ stream-infer transform", API, *arguments, "--wait", flush=True)
    began = time.monotonic()
    command = [sys.executable, "-m", "stream_infer", "transform", API, *arguments, "--wait", "--gateway", gateway]
    subprocess.run(command, check=True)
    took = time.monotonic() - began
    store = open_store(output)
    answers = {found.key: json.loads(store.get(found.key)) for found in store.list("")}
    right = sum(answers.get(f"{name}.out", {}).get("digit") == label for name, label in labels.items())
    print(f"{len(answers)} objects at {output}; accuracy {right / len(labels):.1%}, {took:.1f} s\n")
    return len(answers) == len(labels) and right / len(labels) >= ENOUGH


if __name__ == "__main__":
    sys.exit(main())
