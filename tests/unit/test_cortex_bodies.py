"""A job in Cortex's words: what a submission means, what a job is said to be, and what an error looks like."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest
from aiohttp.test_utils import make_mocked_request

from stream_infer.gateway.app import application
from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.cortex.bodies import error_body, job_body, job_status_body, spec_of, status_code
from stream_infer.gateway.services import Services
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.spec import Job, JobSpec
from stream_infer.jobs.status import Cause, JobStatus, State
from stream_infer.predictor_settings import CortexPredictor
from stream_infer.settings import ApiSettings, Settings

API = ApiSettings(name="iris", predictor=CortexPredictor(path="p.py"))
JOB = Job(
    job_id="j", api="iris", submitted_at=1595000000.5, config={"a": 1}, workers=2, timeout=60, batch_size=2, items=5
)


def known(job=JOB, **status):
    return KnownJob(job, JobStatus(job_id=job.job_id, api="iris", **status))


@pytest.mark.parametrize(
    ("submission", "spec"),
    [
        (
            {"workers": 1, "item_list": {"items": [1], "batch_size": 2}, "timeout": None, "config": None},
            JobSpec(workers=1, item_list={"items": [1], "batch_size": 2}),
        ),
        (
            {"workers": 3, "file_path_lister": {"s3_paths": ["s3://b/k"], "includes": None, "batch_size": 4}},
            JobSpec(workers=3, file_path_lister={"s3_paths": ["s3://b/k"], "batch_size": 4}),
        ),
        (
            {
                "delimited_files": {"s3_paths": ["s3://b/k"], "excludes": ["**.gif"], "batch_size": 1},
                "config": {"a": 1},
            },
            JobSpec(
                delimited_files={"s3_paths": ["s3://b/k"], "excludes": ["**.gif"], "batch_size": 1}, config={"a": 1}
            ),
        ),
    ],
)
def test_a_submission_of_cortexs_is_a_spec(submission, spec):
    read = JobSpec.model_validate(spec_of(submission, 3))

    assert read == spec
    assert read.wished_batch_size in (1, 2, 4)


@pytest.mark.parametrize("name", ["sqs_dead_letter_queue", "batches", "parallelism", "batches_per_worker"])
def test_what_has_no_counterpart_is_refused_and_says_what_to_do(name):
    with pytest.raises(Problem) as caught:
        spec_of({"item_list": {"items": [1]}, name: {"arn": "arn:aws:sqs:x"}}, 1)

    assert caught.value.status == 422
    assert caught.value.document.errors[0].pointer == f"/{name}"
    assert spec_of({name: None}, 1) == {}


def test_a_submission_is_answered_with_its_job():
    body = job_body(API, JOB)

    assert body == {
        "job_id": "j",
        "api_name": "iris",
        "kind": "BatchAPI",
        "workers": 2,
        "config": {"a": 1},
        "api_id": body["api_id"],
        "sqs_url": None,
        "timeout": 60,
        "sqs_dead_letter_queue": None,
        "created_time": "2020-07-17T15:33:20.500000Z",
    }
    assert len(body["api_id"]) == 12


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (known(), "enqueuing"),
        (known(state=State.ENQUEUING), "enqueuing"),
        (known(state=State.ENQUEUING, exhausted=True), "running"),
        (known(state=State.RUNNING), "running"),
        (known(state=State.FINALIZING), "running"),
        (known(state=State.SUCCEEDED), "succeeded"),
        (known(state=State.COMPLETED_WITH_FAILURES), "completed_with_failures"),
        (known(state=State.STOPPING, cause=Cause.STOP), "stopped"),
        (known(state=State.STOPPED, cause=Cause.STOP), "stopped"),
        (known(state=State.FINALIZING, cause=Cause.TIMEOUT), "timed_out"),
        (known(state=State.TIMED_OUT, cause=Cause.TIMEOUT), "timed_out"),
        (known(state=State.FAILED, cause=Cause.FAILURE), "enqueue_failed"),
        (known(state=State.STOPPING, cause=Cause.FAILURE, counts=Counts(enqueued=2, rejected=1)), "worker_error"),
        (known(state=State.FAILED, cause=Cause.FAILURE, counts=Counts(enqueued=2, rejected=2)), "worker_error"),
    ],
)
def test_a_jobs_state_is_one_of_cortexs_codes(status, code):
    assert status_code(status.status) == code


def test_batches_are_counted_from_items():
    running = known(
        state=State.RUNNING,
        counts=Counts(enqueued=4, succeeded=2, rejected=1),
        times={"running": 1595000001.0},
    )

    body = job_status_body(API, running, "http://g/iris", now=1595000005.0)

    status = body["job_status"]
    assert (status["total_batch_count"], status["batches_in_queue"]) == (3, 1)
    assert status["batch_metrics"] == {"succeeded": 1, "failed": 1, "avg_time_per_batch": 2.0}
    assert status["status"] == "running"
    assert "end_time" not in status
    assert body["endpoint"] == "http://g/iris"


def test_a_job_that_has_ended_says_when():
    ended = known(
        state=State.SUCCEEDED,
        exhausted=True,
        counts=Counts(enqueued=5, succeeded=5),
        times={"running": 1595000001.0, "succeeded": 1595000007.0},
    )

    status = job_status_body(API, ended, "http://g/iris", now=1700000000.0)["job_status"]

    assert status["end_time"] == "2020-07-17T15:33:27Z"
    assert status["batch_metrics"] == {"succeeded": 3, "failed": 0, "avg_time_per_batch": 2.0}


def test_an_error_has_a_message_where_cortexs_clients_look():
    document = {"type": "urn:stream-infer:problem:unknown-job", "title": "t", "detail": "No job is named 'x'."}

    assert error_body(document) == {
        "kind": "unknown_job",
        "error": "No job is named 'x'.",
        "message": "No job is named 'x'.",
    }
    assert error_body({"type": ProblemKind.BUSY.type, "title": "t"})["message"] == "t"


@pytest.mark.parametrize(
    ("method", "path", "pattern"),
    [
        ("POST", "/iris", "/{api}"),
        ("DELETE", "/iris", "/{api}"),
        ("POST", "/food/hotdog", "/{deployment}/{api}"),
        ("POST", "/my_food/hotdog", "/{deployment}/{api}"),
        ("GET", "/iris/j", "/{api}/{job_id}"),
        ("POST", "/batch/iris", "/batch/{api}"),
        ("GET", "/batch/iris/j", "/batch/{api}/{job_id}"),
        ("GET", "/v1/jobs", "/v1/jobs"),
        ("GET", "/healthz", "/healthz"),
        ("GET", "/v1/apis", "/v1/apis"),
        ("GET", "/v1-model", "/{api}"),
    ],
)
def test_an_apis_own_path_hides_none_of_the_gateways(method, path, pattern):
    services = cast("Services", SimpleNamespace(settings=Settings(), configured=Settings(), deployed=None))

    async def resolve():
        app = application(services)
        return await app.router.resolve(make_mocked_request(method, path))

    assert asyncio.run(resolve()).route.resource.canonical == pattern


@pytest.mark.parametrize("path", ["/v1", "/v1/nothing", "/metrics/nothing"])
def test_what_lies_below_the_gateways_own_paths_is_nobodys(path):
    services = cast("Services", SimpleNamespace(settings=Settings(), configured=Settings(), deployed=None))

    async def resolve():
        return await application(services).router.resolve(make_mocked_request("GET", path))

    assert asyncio.run(resolve()).http_exception.status == 404


def test_a_job_that_wants_more_workers_than_there_may_be_gets_those():
    assert spec_of({"workers": 100}, 4) == {"workers": 4}
    assert spec_of({"workers": "many"}, 4) == {"workers": "many"}, "it is refused like any other spec"
