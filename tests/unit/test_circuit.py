"""A broken model halts its API; a job of bad items fails alone; nothing is rejected or retried meanwhile."""

from typing import Any

from stream_infer.engine.keeper import Readiness, State
from stream_infer.errors import Stage
from stream_infer.jobs.events import Counted, Failed, Hindered
from stream_infer.jobs.spec import BreakerSpec, Job
from stream_infer.jobs.status import JobStatus
from stream_infer.jobs.status import State as JobState
from stream_infer.records import Failure, Output
from tests.support.worker_bench import TOPICS, WorkerBench

BAD = Failure(Stage.PREDICT, "builtins.ValueError", "bad item")
BUSY = Failure(Stage.PREDICT, "x.Busy", "busy", retryable=True)


def picky(data: bytes) -> Output | Failure:
    return BAD if data.startswith(b"bad") else Output(data)


def of(job_id: str) -> Any:
    return (("si-job-id", job_id.encode()),)


def bench_with(*job_ids: str, predict: Any = picky, ratio: float | None = None) -> WorkerBench:
    bench = WorkerBench(predict)
    breaker = None if ratio is None else BreakerSpec(max_ratio=ratio)
    for job_id in job_ids:
        bench.views.status[job_id] = JobStatus(job_id=job_id, api="a", state=JobState.RUNNING)
        bench.views.jobs[job_id] = Job(job_id=job_id, api="a", submitted_at=0.0, breaker=breaker)
    return bench


def load(bench: WorkerBench, state: State, reason: str = "") -> None:
    bench.engine.readiness = Readiness(state, reason)
    bench.run()


def ends(bench: WorkerBench) -> list[str]:
    return [record.topic for record in bench.producer.records if record.topic != "p.progress"]


def test_a_model_that_no_longer_loads_halts_the_api_and_resumes_without_a_loss() -> None:
    bench = bench_with("j")
    bench.engine.predict = lambda _: BAD
    bench.feed(*[b"item"] * 12, headers=of("j"))
    bench.run()
    assert len(bench.engine.restarts) == 1
    assert ends(bench) == []

    load(bench, State.UNAVAILABLE, "weights are gone")
    assert ends(bench) == []
    assert Hindered(job_id="j", at=bench.now, reason="weights are gone") in bench.events()

    bench.engine.predict = picky
    load(bench, State.READY)
    assert bench.values(TOPICS.results) == [b"item"] * 12
    assert ends(bench) == [TOPICS.results] * 12


def test_a_job_of_bad_items_fails_and_the_others_go_on() -> None:
    bench = bench_with("bad", "good")
    bench.feed(*[b"good"] * 4, headers=of("good"))
    bench.feed(*[b"bad"] * 8, headers=of("bad"))
    bench.run()
    bench.feed(*[b"good"] * 3, headers=of("good"))
    bench.feed(*[b"bad"] * 5, headers=of("bad"))
    load(bench, State.READY)

    [failed] = [event for event in bench.events() if isinstance(event, Failed)]
    assert failed.job_id == "bad"
    assert "builtins.ValueError: bad item" in failed.error
    assert bench.values(TOPICS.results) == [b"good"] * 7
    assert bench.values(TOPICS.dlq) == [b"bad"] * 8, "what has failed ends as it failed"
    skipped = sum(event.delta.skipped for event in bench.events() if isinstance(event, Counted))
    assert skipped == 5


def test_a_service_that_is_away_halts_the_api_until_an_item_succeeds() -> None:
    bench = bench_with("j", predict=lambda _: BUSY)
    bench.feed(*[b"1"] * 10, headers=of("j"))
    bench.run()
    load(bench, State.READY)
    called = len(bench.engine.called)
    assert ends(bench) == []

    bench.now += 0.5
    bench.run()
    assert len(bench.engine.called) == called, "one probe at a time, at growing intervals"
    bench.now += 1.0
    bench.run()
    assert len(bench.engine.called) == called + 1
    assert ends(bench) == []

    bench.engine.predict = picky
    bench.now += 30.0
    bench.run(10)
    assert ends(bench) == [TOPICS.results] * 10


def test_probes_go_through_the_held_items_in_turn_so_that_a_bad_one_does_not_halt_for_ever() -> None:
    bench = bench_with()
    bench.feed(*[b"bad"] * 6, *[b"good"] * 4)
    bench.engine.predict = lambda _: BAD
    bench.run()
    bench.engine.predict = picky
    load(bench, State.READY)
    for _ in range(8):
        bench.now += 31.0
        bench.run(4)
    assert bench.values(TOPICS.results) == [b"good"] * 4


def test_a_stop_is_heard_while_the_api_is_halted() -> None:
    bench = bench_with("j")
    load(bench, State.UNAVAILABLE, "no GPU")
    bench.feed(*[b"1"] * 3, headers=of("j"))
    bench.run()
    stopped = bench.views.status["j"].model_copy(update={"cause": "stopped"})
    bench.views.status["j"] = stopped
    bench.ending.note("j", stopped)
    bench.run()
    skipped = sum(event.delta.skipped for event in bench.events() if isinstance(event, Counted))
    assert skipped == 3


def test_a_job_that_asked_for_ratio_one_runs_to_its_end() -> None:
    bench = bench_with("j", ratio=1.0)
    bench.feed(*[b"bad"] * 30, headers=of("j"))
    bench.run()
    assert not bench.engine.restarts
    assert bench.values(TOPICS.retry(1)) == [b"bad"] * 30


def test_items_that_were_read_while_halted_wait_and_then_run() -> None:
    bench = bench_with()
    load(bench, State.UNAVAILABLE, "no GPU")
    bench.feed(b"1", b"2")
    bench.run()
    assert bench.ledger.in_work == 0
    load(bench, State.READY)
    assert bench.values(TOPICS.results) == [b"1", b"2"]
