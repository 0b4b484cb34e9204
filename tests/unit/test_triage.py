"""What becomes of an item that has just been read."""

from typing import Any

import pytest

from stream_infer.errors import Stage
from stream_infer.headers import item_headers
from stream_infer.jobs.status import Cause, JobStatus, Phase, State
from stream_infer.ports import Reference
from stream_infer.records import REFERENCE, Control, Failure, Headers, Item, Payload
from stream_infer.worker.held import NOTHING, SKIPPED
from stream_infer.worker.retry import Retried, RetryPolicy
from stream_infer.worker.triage import Moment, RunHook, Verdict, Wait, WaitUntil, triage
from tests.support.items import item_at

NOW = 1000.0
POLICY = RetryPolicy(3, (5.0, 30.0), 3600.0)
RUNNING = JobStatus(job_id="j", api="a", state=State.RUNNING)


class OneJob:
    """Every item's job is this one."""

    def __init__(self, status: JobStatus | None) -> None:
        self._status = status

    def status(self, job_id: str) -> JobStatus | None:
        return self._status

    def is_known(self, job_id: str) -> bool:
        return self._status is not None

    def is_skipping(self, item: Item) -> bool:
        return item.job_id is not None and self._status is not None and self._status.skips(item.generation)


def judged(
    headers: Headers = (),
    value: bytes | None = b"{}",
    status: JobStatus | None = RUNNING,
    *,
    tier: int | None = None,
    jobs_are_current: bool = True,
    is_serving: bool = True,
) -> Verdict:
    jobs = OneJob(status)
    moment = Moment(NOW, jobs_are_current=jobs_are_current, is_serving=is_serving)
    return triage(item_at(value=value, headers=headers), tier, jobs, POLICY, moment)


def test_a_plain_record_is_json_for_the_predictor() -> None:
    assert judged(value=b'{"a": 1}') == Payload(b'{"a": 1}', "application/json")


def test_an_item_of_an_unknown_job_waits_until_the_view_is_current_and_then_counts_as_jobless() -> None:
    headers = item_headers(job_id="j")

    assert judged(headers, status=None, jobs_are_current=False) is Wait.FOR_JOB
    assert isinstance(judged(headers, status=None), Payload)


@pytest.mark.parametrize("cause", Cause)
def test_an_item_of_a_job_that_ends_early_is_skipped(cause: Cause) -> None:
    status = RUNNING.model_copy(update={"cause": cause, "state": State.STOPPING})

    assert judged(item_headers(job_id="j"), status=status) is SKIPPED


def test_a_skipped_item_is_not_even_read() -> None:
    status = RUNNING.model_copy(update={"cause": Cause.STOP})

    assert judged((("si-job-id", b"j"), ("si-attempt", b"x")), status=status) is SKIPPED


def test_a_header_that_cannot_be_understood_rejects_its_item() -> None:
    verdict = judged((("si-attempt", b"first"),))

    assert isinstance(verdict, Failure)
    assert verdict.stage is Stage.DECODE
    assert "si-attempt" in verdict.message


def test_an_item_past_its_deadline_is_rejected() -> None:
    verdict = judged(item_headers(deadline=NOW - 5))

    assert isinstance(verdict, Failure)
    assert "5.0 s ago" in verdict.message
    assert isinstance(judged(item_headers(deadline=NOW + 5)), Payload)


def test_a_reference_is_to_be_fetched() -> None:
    value = b'{"uri": "s3://bucket/key", "content_type": "image/png"}'

    assert judged(item_headers(content_type=REFERENCE), value) == Reference("s3://bucket/key", "image/png")


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b'{"url": "s3://x"}', b'{"uri": 3}', b'{"uri":"x","content_type":1}']
)
def test_a_reference_that_is_none_rejects_its_item(value: bytes) -> None:
    verdict = judged(item_headers(content_type=REFERENCE), value)

    assert isinstance(verdict, Failure)
    assert verdict.stage is Stage.DECODE
    assert '"uri"' in verdict.message


@pytest.mark.parametrize(
    ("phase", "verdict"),
    [
        (Phase.HOOK, RunHook("j")),
        (Phase.HOOK_RUNNING, RunHook("j")),
        (Phase.ASSEMBLE, NOTHING),
        (None, NOTHING),
    ],
)
def test_a_hook_runs_only_while_its_job_waits_for_it(phase: Phase | None, verdict: Any) -> None:
    headers = item_headers(job_id="j", control=Control.ON_JOB_COMPLETE)

    assert judged(headers, status=RUNNING.model_copy(update={"phase": phase})) == verdict


def test_a_control_record_that_overtakes_its_jobs_status_waits_until_the_view_is_current() -> None:
    headers = item_headers(job_id="j", control=Control.ON_JOB_COMPLETE)

    assert judged(headers, jobs_are_current=False) is Wait.FOR_JOB
    assert judged(headers, status=RUNNING.model_copy(update={"phase": Phase.HOOK}), jobs_are_current=False) == RunHook(
        "j"
    )


def test_a_control_record_of_an_unknown_job_asks_for_nothing() -> None:
    assert judged(item_headers(job_id="j", control=Control.ON_JOB_COMPLETE), status=None) is NOTHING


@pytest.mark.parametrize(("deadline", "until"), [(b"1002", 1002.0), (b"1009", 1003.0)])
def test_an_item_that_is_not_due_waits_but_not_beyond_its_deadline(deadline: bytes, until: float) -> None:
    item = item_at(headers=(("si-not-before", b"1003"), ("si-deadline", deadline)))
    without_tiers = RetryPolicy(1, (5.0,), 3600.0)

    assert triage(
        item, None, OneJob(None), without_tiers, Moment(NOW, jobs_are_current=True, is_serving=True)
    ) == WaitUntil(until)


def test_while_the_predictor_does_not_serve_items_wait_and_what_is_clear_already_ends() -> None:
    stopped = RUNNING.model_copy(update={"cause": Cause.STOP})

    assert judged(is_serving=False) is Wait.FOR_PREDICTOR
    assert judged(item_headers(job_id="j"), status=stopped, is_serving=False) is SKIPPED
    assert isinstance(judged(item_headers(deadline=NOW - 1), is_serving=False), Failure)


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ((("si-attempt", b"x"),), b"{}"),
        ((("si-not-before", b"1060"),), b"{}"),
        ((("si-not-before", b"999999999999"),), b"{}"),
        (item_headers(content_type=REFERENCE), b"no reference"),
    ],
)
def test_while_the_predictor_does_not_serve_nothing_is_rejected_or_moved_to_a_tier(headers: Any, value: bytes) -> None:
    assert judged(headers, value, is_serving=False) is Wait.FOR_PREDICTOR
    assert isinstance(judged(headers, value), Failure | Retried)


@pytest.mark.parametrize("control", [b"", b"on_job_start", b"ON_JOB_COMPLETE"])
def test_an_item_that_asks_for_something_unknown_is_rejected_instead_of_forgotten(control: bytes) -> None:
    verdict = judged((("si-control", control),))

    assert isinstance(verdict, Failure)
    assert verdict.stage is Stage.DECODE
    assert "si-control is not on_job_complete" in verdict.message
