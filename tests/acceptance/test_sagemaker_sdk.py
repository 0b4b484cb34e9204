"""`Transformer` of SageMaker's own SDK, which an interpreter of its own runs: what its users write, over a gateway that
asks who signs, and a real S3 server."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import sagemaker_sdk
from tests.support.s3_fixture import S3Server
from tests.support.sagemaker_account import ARCHIVE, PATIENCE_S, Account, account_at

TRANSFORMS = sagemaker_sdk.LOCK.with_name("transforms.py")


@pytest.fixture
def sdk() -> str:
    return sagemaker_sdk.python()


@pytest.fixture
def account(sdk: str, s3_server: S3Server, tmp_path: Path) -> Iterator[Account]:
    with account_at(s3_server, tmp_path) as account:
        yield account


def test_a_script_of_sagemakers_sdk_transforms_what_is_in_s3(sdk: str, account: Account) -> None:
    # Given texts by a prefix and by a manifest, a bad one, and one that waits
    bucket = f"s3://{account.s3.bucket}"
    account.put("in/texts/a.txt", b"one\ntwo\n")
    account.put("in/texts/deep/b.txt", b"three\n")
    account.put("in/manifest.json", json.dumps([{"prefix": f"{bucket}/in/texts/"}, "deep/b.txt"]).encode())
    account.put("in/bad/a.txt", b"one\nbad\n")
    account.put("in/lines/a", b"wait\n" + b"more\n" * 500)

    # When the script runs
    said = run(sdk, account, f"{bucket}/{ARCHIVE}")

    # Then its jobs are done, and their answers lie in S3
    assert said["by_prefix"] == ["Completed", {"a.txt.out": "ONE\nTWO\n", "deep/b.txt.out": "THREE\n"}]
    assert said["by_manifest"] == ["Completed", {"deep/b.txt.out": "THREE\n"}]
    # and a job with a bad record is the SDK's own exception, which says what went wrong
    state, why = said["failing"]
    assert (state, "1 of 2 records failed" in why) == ("Failed", True), why
    # and one that is stopped is waited for
    assert said["stopping"] in ("Stopping", "Stopped")
    assert said["stopped"] == "Stopped"
    assert "nobody" in said["unknown_model"]


def run(sdk: str, account: Account, archive: str) -> dict[str, Any]:
    """What it said of each step."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sdk, str(TRANSFORMS), account.gateway, account.s3.bucket, archive, str(account.gate)]
    done = subprocess.run(
        command, cwd=account.folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{account.up.text()}"
    steps = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {name: what for step in steps for name, what in step.items()}
