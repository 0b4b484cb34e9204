"""A script of SageMaker's, by boto3 as it is: a gateway that asks who signs, a real S3 server, `up` between them."""

import time
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError, WaiterError

from tests.support.s3_fixture import S3Server
from tests.support.sagemaker_account import ARCHIVE, PATIENCE_S, Account, account_at
from tests.support.up_process import wait_for

SOON = {"Delay": 1, "MaxAttempts": int(PATIENCE_S)}


@pytest.fixture(scope="module")
def account(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """One of each S3 server for all tests here."""
    with account_at(s3_server, tmp_path_factory.mktemp("account")) as account:
        yield account


def test_a_script_of_sagemakers_runs_as_it_is(account: Account) -> None:
    # Given texts in a bucket, and a client with a key that it signs with
    sagemaker = account.sagemaker("nightly")
    account.put("in/texts/a.txt", b"one\ntwo\n")
    account.put("in/texts/deep/b.txt", b"three\n")
    account.put("in/bad/a.txt", b"one\nbad\n")
    archive_at = f"s3://{account.s3.bucket}/{ARCHIVE}"

    # When it makes a model of the archive, runs a job over the texts, and waits
    sagemaker.create_model(
        ModelName="shouter",
        PrimaryContainer={"Image": "pytorch-inference:2", "ModelDataUrl": archive_at},
        ExecutionRoleArn="arn:aws:iam::000000000000:role/any",
    )
    began = time.time()
    made = sagemaker.create_transform_job(**account.job("texts-1", "shouter", "in/texts/"))
    waiter = sagemaker.get_waiter("transform_job_completed_or_stopped")
    waiter.wait(TransformJobName="texts-1", WaiterConfig=SOON)

    # Then each object has its answers, and the job is described and listed
    assert account.read("out/texts-1/a.txt.out") == b"ONE\nTWO\n"
    assert account.read("out/texts-1/deep/b.txt.out") == b"THREE\n"
    described = sagemaker.describe_transform_job(TransformJobName="texts-1")
    assert (described["TransformJobStatus"], described["TransformJobArn"]) == ("Completed", made["TransformJobArn"])
    assert began - 1 <= described["CreationTime"].timestamp() <= described["TransformEndTime"].timestamp()

    # and a model that only its environment tells of leads to the same API
    container = {"Environment": {"STREAM_INFER_API": "shouter"}}
    sagemaker.create_model(ModelName="Shouter-2026", PrimaryContainer=container)
    sagemaker.create_transform_job(**account.job("texts-2", "Shouter-2026", "in/bad/"))
    with pytest.raises(WaiterError, match='"Failed"'):
        waiter.wait(TransformJobName="texts-2", WaiterConfig=SOON)
    assert "1 of 2 records failed" in sagemaker.describe_transform_job(TransformJobName="texts-2")["FailureReason"]

    looking = account.sagemaker("looking")
    pages = looking.get_paginator("list_transform_jobs").paginate(
        NameContains="texts", SortBy="CreationTime", SortOrder="Ascending", PaginationConfig={"PageSize": 1}
    )
    listed = [(one["TransformJobName"], one["TransformJobStatus"]) for p in pages for one in p["TransformJobSummaries"]]
    assert listed == [("texts-1", "Completed"), ("texts-2", "Failed")]
    assert {one["ModelName"] for one in looking.list_models()["Models"]} == {"shouter", "Shouter-2026"}

    # and what cannot be is told in the client's own exceptions
    with pytest.raises(sagemaker.exceptions.ResourceInUse):
        sagemaker.create_transform_job(**account.job("texts-1", "shouter", "in/bad/"))
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.create_transform_job(**account.job("texts-3", "nobody", "in/texts/"))
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_transform_job(TransformJobName="texts-3")
    two = {"InstanceType": "ml.m5.large", "InstanceCount": 2}
    with pytest.raises(sagemaker.exceptions.ResourceLimitExceeded):
        sagemaker.create_transform_job(**account.job("texts-3", "shouter", "in/texts/", TransformResources=two))
    with pytest.raises(ClientError, match=r"ValidationException.*allowed_s3_prefixes"):
        sagemaker.create_transform_job(**account.job("texts-3", "shouter", "elsewhere/"))
    with pytest.raises(ClientError, match="AccessDeniedException"):
        looking.create_transform_job(**account.job("texts-3", "shouter", "in/texts/"))
    sagemaker.delete_model(ModelName="Shouter-2026")

    # The file of keys holds secrets: its owner alone reads it, and nothing that was said has them.
    keys = account.folder / "keys.yaml"
    assert keys.stat().st_mode & 0o077 == 0
    said = account.up.text()
    for line in (account.folder / "credentials").read_text().splitlines():
        if "secret" in line:
            assert line.split(" = ")[1] in keys.read_text()
            assert line.split(" = ")[1] not in said


def test_a_job_is_stopped_and_waited_for(account: Account) -> None:
    sagemaker = account.sagemaker("nightly")
    account.put("in/lines/a", b"one\n")
    account.put("in/lines/b", b"wait\n" + b"more\n" * 500)
    sagemaker.create_transform_job(**account.job("endless", "shouter", "in/lines/"))
    wait_for(lambda: "at the gate" in account.up.text(), PATIENCE_S, account.up.text)

    sagemaker.stop_transform_job(TransformJobName="endless")
    assert sagemaker.describe_transform_job(TransformJobName="endless")["TransformJobStatus"] == "Stopping"
    account.gate.touch()
    waiter = sagemaker.get_waiter("transform_job_completed_or_stopped")
    waiter.wait(TransformJobName="endless", WaiterConfig=SOON)

    assert sagemaker.describe_transform_job(TransformJobName="endless")["TransformJobStatus"] == "Stopped"
    assert account.read("out/endless/a.out") == b"ONE\n"
    [listed] = sagemaker.list_transform_jobs(StatusEquals="Stopped")["TransformJobSummaries"]
    assert listed["TransformJobName"] == "endless"
    sagemaker.stop_transform_job(TransformJobName="endless")  # once more changes nothing
