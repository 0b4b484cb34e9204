"""A worker of jobs with filters and joins: what is predicted, what is kept, what is held meanwhile."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_infer.dead_letters import read_dead_letter
from stream_infer.errors import ServiceUnavailable, Stage, TransactionAborted
from stream_infer.headers import result_format_of
from stream_infer.jobs.spec import Job
from stream_infer.jobs.status import JobStatus
from stream_infer.records import REFERENCE, Failure, Message, OutgoingRecord, Output, Payload
from stream_infer.results import ResultFormat, Results
from tests.support.worker_bench import TOPICS, WorkerBench

JOB = (("si-job-id", b"j"), ("si-item-id", b"j-1"))
BOTH = {"join": "input", "input_filter": "$.x", "output_filter": "{in: input.id, out: output}"}


def double(data: bytes) -> Output:
    return Output(json.dumps(2 * json.loads(data)).encode())


def bench_of(said: dict[str, Any], predict=double, **more: Any) -> WorkerBench:
    bench = WorkerBench(predict, **more)
    bench.views.jobs["j"] = Job(job_id="j", api="a", submitted_at=1.0, submission="s", results=Results(**said))
    bench.views.status["j"] = JobStatus(job_id="j", api="a")
    return bench


def item(n: int, x: Any = 1) -> bytes:
    return json.dumps({"id": n, "x": x, "pad": "." * 600}).encode()


def message_of(record: OutgoingRecord) -> Message:
    return Message(record.topic, 0, 0, record.key, record.value, record.headers, 0)


def test_the_predictor_gets_what_the_filter_leaves_and_the_result_is_joined_and_filtered():
    bench = bench_of(BOTH)
    bench.feed(item(1, 5), item(2, 7), headers=JOB)
    bench.run()

    assert bench.engine.called == [b"5", b"7"]
    assert [json.loads(value or b"") for value in bench.values(TOPICS.results)] == [
        {"in": 1, "out": 10},
        {"in": 2, "out": 14},
    ]
    assert (bench.ledger.held, bench.ledger.held_bytes) == (0, 0)


def test_many_items_of_a_shaped_job_make_no_stretch():
    bench = bench_of(BOTH)
    bench.feed(*[item(n, n) for n in range(100)], headers=JOB)
    bench.run()

    assert [json.loads(value or b"")["out"] for value in bench.values(TOPICS.results)] == [2 * n for n in range(100)]
    assert bench.ledger.held_bytes == 0


def test_what_the_api_says_holds_for_items_without_a_job_and_a_job_has_its_own():
    bench = WorkerBench(double, results=Results(join="input", format=ResultFormat.PARQUET))
    bench.views.status["j"] = JobStatus(job_id="j", api="a")
    bench.feed(b"1")
    bench.feed(b"2", headers=JOB)
    bench.run()

    free, of_job = bench.written(TOPICS.results)
    assert (json.loads(free.value or b""), of_job.value) == ({"input": 1, "output": 2}, b"4")
    assert result_format_of(message_of(free)) == "parquet"
    assert result_format_of(message_of(of_job)) is None


def test_a_format_alone_changes_nothing_but_a_header():
    bench = bench_of({"format": "jsonl.gz"})
    bench.feed(*[b"1"] * 20, headers=JOB)
    bench.feed(b"2", headers=(*JOB, ("si-attempt", b"2")))
    bench.run()

    assert {result_format_of(message_of(record)) for record in bench.written(TOPICS.results)} == {"jsonl.gz"}
    assert bench.values(TOPICS.results) == [b"2"] * 20 + [b"4"]


def test_an_item_that_the_input_filter_refuses_ends_alone_with_its_stage_and_its_own_payload():
    bench = bench_of({"input_filter": "$.x"})
    bench.feed(item(1), b'{"y": 1}', b"no json", item(4), headers=JOB)
    bench.run()

    letters = [read_dead_letter(message_of(record)) for record in bench.written(TOPICS.dlq)]
    assert [letter.stage for letter in letters] == [Stage.INPUT_FILTER] * 2
    assert "$.x finds nothing" in letters[0].failure.message
    assert [letter.item.message.value for letter in letters] == [b'{"y": 1}', b"no json"]
    assert len(bench.values(TOPICS.results)) == 2
    assert bench.ledger.held_bytes == 0


def test_an_output_that_its_filter_refuses_is_a_dead_letter_of_the_item_as_it_came():
    bench = bench_of({"output_filter": "$.label", "input_filter": "$.x"}, Output)
    bench.feed(item(1, {"label": 3}), item(2, {"other": 3}), headers=JOB)
    bench.run()

    [letter] = [read_dead_letter(message_of(record)) for record in bench.written(TOPICS.dlq)]
    assert letter.stage == Stage.OUTPUT_FILTER
    assert letter.item.message.value == item(2, {"other": 3})
    assert bench.values(TOPICS.results) == [b"3"]


def test_a_retry_carries_the_item_as_it_came_and_is_filtered_again():
    failures = [Failure(Stage.PREDICT, "E", "later", retryable=True)]
    bench = bench_of(BOTH, lambda data: failures.pop() if failures else double(data))
    bench.feed(item(1, 5), headers=JOB)
    bench.run()

    assert bench.values(TOPICS.retry(1)) == [item(1, 5)]

    bench.pass_on(1)
    bench.now += 10
    bench.run(12)

    assert bench.engine.called == [b"5", b"5"]
    assert [json.loads(value or b"") for value in bench.values(TOPICS.results)] == [{"in": 1, "out": 10}]
    assert bench.ledger.held_bytes == 0


def test_what_is_held_is_what_was_sent_what_is_predicted_and_what_came_out_each_once():
    bench = bench_of(BOTH)
    bench.shape.holds = True
    sent, result = item(1, "y" * 1000), b'{"in":1,"out":"' + b"y" * 2000 + b'"}'
    bench.producer.holds = True
    bench.feed(sent, headers=JOB)
    bench.run(2)
    assert bench.ledger.held_bytes == len(sent), "on its way through the input filter"

    bench.shape.go_on()
    bench.run(1)
    bench.run(1)
    assert bench.ledger.held_bytes == len(sent) + 2002, "its output waits for the join"

    bench.shape.go_on()
    bench.run(3)
    assert bench.ledger.held_bytes == len(result), "delivered, and not committed"

    bench.producer.end()
    bench.run(1)
    assert bench.ledger.held_bytes == 0


def test_an_abort_delivers_the_shaped_result_again_and_predicts_nothing():
    bench = bench_of(BOTH)
    bench.producer.failure = TransactionAborted("no")
    bench.feed(item(1, 5), headers=JOB)
    bench.run()
    held = bench.ledger.held_bytes
    bench.producer.failure = None
    bench.loop._pace.committed(time.monotonic())
    bench.run()

    assert held == len(b'{"in":1,"out":10}')
    assert bench.values(TOPICS.results) == [b'{"in":1,"out":10}']
    assert bench.engine.called == [b"5"]
    assert bench.ledger.held_bytes == 0


def test_an_item_that_is_taken_back_from_the_predictor_is_held_as_it_came():
    """Halted and served again, again and again: what is held of it does not grow."""
    bench = bench_of(BOTH)
    entry_sizes = []
    bench.shape.holds = True
    bench.feed(item(1, "y" * 500), headers=JOB)
    for _ in range(3):
        bench.run(2)
        bench.shape.go_on()
        bench.loop._submit(bench.loop._admission.advance(bench.now))
        taken = bench.engine.withdraw()
        bench.circuit._take_back(taken)
        entry_sizes.append(bench.ledger.held_bytes)

    assert entry_sizes == [len(item(1, "y" * 500))] * 3


def test_a_reference_to_json_is_joined_with_what_it_leads_to():
    bench = bench_of({"join": "input", "input_filter": "$.x"})
    bench.fetch.bring = lambda reference: Payload(item(1, 5), "application/json")
    reference = b'{"uri": "s3://b/k"}'
    bench.feed(reference, headers=(*JOB, ("content-type", REFERENCE.encode())))
    bench.run()

    [value] = bench.values(TOPICS.results)
    assert json.loads(value or b"") == {"input": json.loads(item(1, 5)), "output": 10}
    assert bench.ledger.held_bytes == 0


def test_a_reference_to_a_picture_is_joined_as_the_reference_that_it_is():
    bench = bench_of({"join": "input"}, lambda data: Output(b'"cat"'))
    bench.fetch.bring = lambda reference: Payload(b"\xff\xd8" * 1000, "image/jpeg")
    bench.feed(b'{"uri": "s3://b/k"}', headers=(*JOB, ("content-type", REFERENCE.encode())))
    bench.run()

    [value] = bench.values(TOPICS.results)
    assert json.loads(value or b"") == {"input": {"uri": "s3://b/k"}, "output": "cat"}


def test_a_joined_result_that_no_message_can_carry_travels_by_reference():
    bench = bench_of({"join": "input"}, lambda data: Output(b'"' + b"z" * 600_000 + b'"'))
    sent = b'"' + b"y" * 600_000 + b'"'
    bench.feed(sent, headers=JOB)
    bench.run()
    bench.pool.work()
    bench.run()

    [record] = bench.written(TOPICS.results)
    assert dict(record.headers)["content-type"] == REFERENCE.encode()
    [stored] = bench.store.objects.values()
    assert json.loads(stored) == {"input": "y" * 600_000, "output": "z" * 600_000}


def test_the_spec_of_a_job_is_awaited_where_its_status_comes_first():
    """Two views of two topics: the one of `jobs` may be behind, and says what is done to each item."""
    bench = bench_of(BOTH)
    spec = bench.views.jobs.pop("j")
    jobs = bench.loop._admission._jobs

    class Behind:
        def get(self, key: str) -> Job | None:
            return bench.views.jobs.get(key)

        def catch_up(self) -> Any:
            bench.views.jobs["j"] = spec
            return jobs._status.catch_up()

    jobs._jobs = Behind()
    bench.feed(item(1, 5), headers=JOB)
    bench.run()

    assert bench.engine.called == [b"5"]


def test_a_revoked_partition_waits_for_what_is_being_joined():
    bench = bench_of(BOTH)
    bench.shape.holds = True
    bench.feed(item(1, 5), headers=JOB)
    bench.run(1)
    bench.shape.go_on()
    bench.run(1)
    assert bench.loop._outcomes.being_shaped

    answered = bench.shape.take_outputs

    def release() -> Any:
        bench.shape.go_on()
        return answered()

    bench.shape.take_outputs = release
    bench.loop.revoked([(TOPICS.items, 0)])

    assert len(bench.values(TOPICS.results)) == 1, "it is not predicted again elsewhere"


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(["good", "no x", "bad output", "bad predict", "large"]), max_size=12), st.booleans())
def test_whatever_comes_every_item_ends_once_and_nothing_stays_held(kinds, joins):
    said = {"input_filter": "$.x", "output_filter": "$.output.v" if joins else "$.v"}
    said["join"] = "input" if joins else "none"

    def predict(data: bytes) -> Output | Failure:
        value = json.loads(data)
        if value == "bad predict":
            return Failure(Stage.PREDICT, "E", "bad", final=True)
        return Output(json.dumps({} if value == "bad output" else {"v": value}).encode())

    bench = bench_of(said, predict, window=1000)
    for n, kind in enumerate(kinds):
        value = {"pad": "p" * 700} if kind == "no x" else {"x": "l" * 5000 if kind == "large" else kind}
        bench.feed(json.dumps(value).encode(), headers=(("si-job-id", b"j"), ("si-item-id", b"j-%d" % n)))
    bench.run(8)

    assert len(bench.values(TOPICS.results)) == sum(kind in ("good", "large") for kind in kinds)
    assert len(bench.values(TOPICS.dlq)) == sum(kind not in ("good", "large") for kind in kinds)
    assert (bench.ledger.held, bench.ledger.held_bytes, bench.ledger.in_work) == (0, 0, 0)


def test_an_error_of_a_filter_of_its_own_kind_is_the_items(monkeypatch: pytest.MonkeyPatch):
    bench = bench_of({"input_filter": "$.x"})

    def broken(*_: Any) -> Any:
        raise ServiceUnavailable("a bug")

    monkeypatch.setattr("stream_infer.shaping.shaping.Shaping.shape_input", broken)
    bench.feed(item(1), headers=JOB)
    bench.run()

    [letter] = [read_dead_letter(message_of(record)) for record in bench.written(TOPICS.dlq)]
    assert letter.stage == Stage.INPUT_FILTER
