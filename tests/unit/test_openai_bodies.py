import pytest

from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.openai.bodies import answers_of, batch_body, openai_error
from stream_infer.gateway.openai.ids import (
    answers_id,
    batch_created_at,
    new_batch_id,
    read_answers_id,
    read_sent_id,
    sent_id,
)
from stream_infer.gateway.openai.lines import Findings, LineError
from stream_infer.gateway.openai.records import FailedBatch, FileRecord, Records
from stream_infer.gateway.openai.request import window_s
from stream_infer.gateway.openai.words import words_of_openai
from stream_infer.http.problems import FieldError, Problem, ProblemKind
from stream_infer.jobs.batches import Batch
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.spec import Job
from stream_infer.jobs.status import Cause, JobStatus, State
from stream_infer.uploads import new_upload, upload_of
from tests.support.memory_store import MemoryStore

NOW = 1_800_000_000.0
BATCH = Batch(
    caller="me", input_file_id="file-1", endpoint="/v1/embeddings", completion_window="24h", expires_at=NOW, requests=10
)
OLD_ID = "batch_" + "0" * 24


def known(state: State, batch: Batch | None = BATCH, job_id: str = OLD_ID, **fields: object) -> KnownJob:
    job = Job(job_id=job_id, api="echo", submitted_at=NOW, batch=batch)
    status = JobStatus(job_id=job_id, api="echo", state=state, times={state.value: NOW + 5})
    return KnownJob(job, status.model_copy(update=fields))


@pytest.mark.parametrize(
    ("state", "fields", "kinds"),
    [
        (State.RUNNING, {"counts": Counts(enqueued=10, succeeded=5, written=5, sunk=5)}, []),
        (State.SUCCEEDED, {"counts": Counts(enqueued=10, succeeded=10, written=10, sunk=10)}, ["output"]),
        # Nothing was said of any item.
        (State.SUCCEEDED, {"counts": Counts(enqueued=10, succeeded=10)}, []),
        (State.COMPLETED_WITH_FAILURES, {"counts": Counts(enqueued=10, rejected=10, written=10, sunk=10)}, ["errors"]),
        (
            State.COMPLETED_WITH_FAILURES,
            {"counts": Counts(enqueued=10, succeeded=9, rejected=1, written=10, sunk=10)},
            ["output", "errors"],
        ),
        # All dead letters were replayed, and have succeeded since.
        (State.SUCCEEDED, {"counts": Counts(enqueued=10, succeeded=10, reopened=3, written=13, sunk=13)}, ["output"]),
        # Some were never enqueued.
        (
            State.STOPPED,
            {"cause": Cause.STOP, "counts": Counts(enqueued=4, succeeded=4, written=4, sunk=4)},
            ["output", "errors"],
        ),
        (State.TIMED_OUT, {"cause": Cause.TIMEOUT}, ["errors"]),
    ],
)
def test_a_batch_has_the_files_in_which_something_stands(state: State, fields: dict, kinds: list[str]) -> None:
    one = known(state, **fields)
    assert [found.kind for found in answers_of(one)] == kinds
    body = batch_body(one, BATCH)
    assert [name for name, file in (("output", body.output_file_id), ("errors", body.error_file_id)) if file] == kinds
    assert answers_of(known(state, batch=None, **fields)) == []


def test_a_batch_was_created_when_its_id_says_so_though_its_job_was_submitted_a_moment_later() -> None:
    one = known(State.VALIDATING, job_id=new_batch_id(NOW - 0.5))
    assert batch_body(one, BATCH).created_at == int(NOW) - 1 == int(one.job.submitted_at) - 1


def test_ids_say_what_they_name() -> None:
    first, later = new_batch_id(NOW), new_batch_id(NOW + 1)
    assert later > first
    assert batch_created_at(first) == int(NOW)
    upload = new_upload("a.jsonl", "mine", NOW)
    file_id = sent_id(upload, 3600)
    assert read_sent_id(file_id) == (upload.id, int(NOW), int(NOW) + 3600)
    assert read_answers_id(answers_id(first, "output")) == (first, "output")
    for other in ("", "file-", "file-x", f"{file_id}0000000000", f"{file_id}/..", answers_id("batch_x", "output")):
        assert (read_sent_id(other), read_answers_id(other), batch_created_at(other)) == (None, None, None)
    assert read_answers_id(file_id) is None and read_sent_id(answers_id(first, "output")) is None


@pytest.mark.parametrize(("text", "seconds"), [("24h", 86400), ("90m", 5400), ("1s", 1), ("366d", 366 * 86400)])
def test_a_window_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert window_s(text) == seconds


@pytest.mark.parametrize("text", ["", "24", "h", "0h", "-1h", "1.5h", "24 h", "24H", "367d", "٣h", "9999999999s"])
def test_anything_else_is_no_window(text: str) -> None:
    with pytest.raises(Problem) as caught:
        window_s(text)
    assert caught.value.document.errors == [FieldError(pointer="/completion_window", detail=str(caught.value)[19:])]


@pytest.mark.parametrize(
    ("kind", "status", "type_", "code"),
    [
        (ProblemKind.NO_KEY, 401, "invalid_request_error", "invalid_api_key"),
        (ProblemKind.SCOPE_MISSING, 403, "permission_error", "scope_missing"),
        (ProblemKind.UNKNOWN_FILE, 404, "invalid_request_error", "unknown_file"),
        (ProblemKind.JOB_IS_FINAL, 409, "invalid_request_error", "job_is_final"),
        (ProblemKind.TOO_LARGE, 413, "invalid_request_error", "too_large"),
        (ProblemKind.INVALID_REQUEST, 400, "invalid_request_error", "invalid_request"),
        (ProblemKind.RATE_LIMITED, 429, "requests", "rate_limit_exceeded"),
        (ProblemKind.UNAVAILABLE, 503, "server_error", "unavailable"),
    ],
)
def test_a_problem_is_told_as_openai_would(kind: ProblemKind, status: int, type_: str, code: str) -> None:
    problem = Problem(kind, "What is wrong.", errors=[FieldError(pointer="/metadata/k", detail="x")])
    got, body = openai_error(problem.document.model_dump())
    assert (got, body.error.type, body.error.code) == (status, type_, code)
    assert (body.error.message, body.error.param) == ("What is wrong.", "metadata.k")
    assert openai_error(Problem(kind, "x").document.model_dump())[1].error.param is None


@pytest.mark.parametrize(
    ("problem", "retried"),
    [
        (Problem(ProblemKind.UNAVAILABLE, "Kafka is away."), None),
        (Problem(ProblemKind.RATE_LIMITED, "Too often."), None),
        (Problem(ProblemKind.JOB_IS_FINAL, "It has ended."), "false"),
        # Nobody knows whether Kafka has taken it: the client's own next try would be a second batch.
        (Problem(ProblemKind.UNAVAILABLE, "Not confirmed.", job_id="batch_1"), "false"),
    ],
)
def test_a_client_tries_again_by_itself_only_what_does_no_harm(problem: Problem, retried: str | None) -> None:
    assert words_of_openai(problem).headers.get("x-should-retry") == retried


def test_records_are_their_callers_and_go_when_they_are_over() -> None:
    store = MemoryStore()
    mine, others = Records(store, "mine"), Records(store, "another cluster")
    upload = new_upload("a.jsonl", "mine", NOW)
    sent = read_sent_id(file_id := sent_id(upload, 3600))
    assert sent is not None
    record = FileRecord(
        id=file_id,
        filename="a.jsonl",
        bytes=1,
        created_at=sent.created_at,
        expires_at=sent.expires_at,
        uri=upload.uri,
        findings=Findings(errors=(LineError(code="empty_file", message="x"),)),
    )
    failed = FailedBatch(id=new_batch_id(NOW), batch=BATCH, created_at=NOW, errors=record.findings.errors)
    mine.put_file("me", record)
    mine.put_batch("me", failed)
    store.put("_openai/by-hand", b"")

    assert mine.file("me", file_id) == record
    assert mine.batch("me", failed.id) == failed
    assert (list(mine.file_ids("me")), list(mine.batch_ids("me"))) == ([file_id], [failed.id])
    for records, caller in ((mine, "you"), (mine, "me/../me"), (others, "me")):
        assert (records.file(caller, file_id), records.batch(caller, failed.id)) == (None, None)
        assert list(records.file_ids(caller)) == []
    for odd in ("../x", "file-x", "", "a/b"):
        assert (mine.file("me", odd), mine.batch("me", odd)) == (None, None)

    assert upload_of(record.uri) is not None
    assert mine.sweep(NOW + 3599, 7200) == {upload.id}
    assert others.sweep(NOW + 99999, 7200) == frozenset()
    assert mine.sweep(NOW + 3600, 7200) == frozenset()
    assert mine.file("me", file_id) is None and mine.batch("me", failed.id) == failed
    mine.sweep(NOW + 7200, 7200)
    assert list(store.objects) == ["_openai/by-hand"]
