"""A broken model halts its API; a job of bad items fails alone; nothing is rejected or retried meanwhile."""

from typing import Any

from stream_infer.engine.keeper import Readiness, State
from stream_infer.errors import Stage
from stream_infer.headers import item_headers
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted, Failed, Hindered, HookEnded, Unhindered
from stream_infer.jobs.spec import BreakerSpec, Job
from stream_infer.jobs.status import HinderedRole, JobStatus, Phase
from stream_infer.jobs.status import State as JobState
from stream_infer.records import REFERENCE, Control, Failure, Output, Payload
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


def test_neither_a_hindrance_nor_the_reason_of_a_failed_job_tells_a_secret() -> None:
    leaky = Failure(Stage.PREDICT, "E", "x" * 250 + " https://me:hunter2" + "2" * 100 + "@host password=hunter2")
    bench = bench_with("j", predict=lambda _: leaky)
    bench.feed(*[b"item"] * 12, headers=of("j"))
    bench.run()
    load(bench, State.UNAVAILABLE, "no weights at s3://key:hunter2@bucket")
    load(bench, State.READY)
    bench.feed(*[b"item"] * 24, headers=of("j"))
    bench.run()
    load(bench, State.READY)

    said = [event.reason if isinstance(event, Hindered) else event.error for event in bench.events()
            if isinstance(event, Hindered | Failed)]  # fmt: skip
    assert any("s3://***@bucket" in text for text in said)
    assert any("for example E: xxx" in text for text in said)
    assert "hunter" not in str(said)
    assert "hunter" not in bench.circuit.reason


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


class AwayFor:
    """What `predict` and the constructor of a job's instance need: it is away until `is_back`. As the engine, it makes
    three attempts at an instance, and refuses the job from then on."""

    def __init__(self, bench: WorkerBench) -> None:
        self.is_back = False
        self.failed = 0
        self.bench = bench

    def __call__(self, data: bytes) -> Output | Failure:
        if not self.bench.engine.restarts:
            return BUSY  # the instance is there
        if self.bench.engine.forgiven:
            self.failed = self.bench.engine.forgiven = 0
        if self.is_back and self.failed < 3:
            return Output(data)
        self.failed += 1
        return Failure(Stage.PREDICT, "E", "S3 is away", of_job=True, final=self.failed >= 3)


def test_what_a_job_needs_to_be_made_may_be_away_for_as_long_as_what_its_items_need() -> None:
    bench = bench_with("j")
    away = AwayFor(bench)
    bench.engine.predict = away
    bench.feed(*[b"1"] * 10, headers=of("j"))
    bench.run()
    load(bench, State.READY)
    for _ in range(5):
        bench.now += 31.0
        bench.run()
    assert ends(bench) == []

    away.is_back = True
    bench.now += 31.0
    bench.run(10)

    assert ends(bench) == [TOPICS.results] * 10
    assert not [event for event in bench.events() if isinstance(event, Failed)]


def test_an_attempt_that_failed_before_the_predictor_was_known_not_to_serve_is_the_outages_too() -> None:
    bench = bench_with("j", predict=lambda _: BUSY)
    bench.feed(*[b"1"] * 10, headers=of("j"))
    bench.run()
    load(bench, State.READY)
    bench.engine.predict = picky
    bench.engine.forgiven = 0
    bench.now += 31.0
    bench.run(10)

    assert ends(bench) == [TOPICS.results] * 10
    assert bench.engine.forgiven == 2, "before the probe, and once it has succeeded"


def test_each_job_is_tried_in_its_turn_however_many_items_another_has() -> None:
    bench = bench_with("long", "short", predict=lambda _: BUSY)
    bench.feed(*[b"long"] * 20, headers=of("long"))
    bench.run()
    load(bench, State.READY)
    bench.feed(b"short", headers=of("short"))
    bench.engine.predict = lambda data: BUSY if data == b"long" else Output(data)
    bench.engine.called.clear()
    for _ in range(2):
        bench.now += 31.0
        bench.run(4)

    assert b"short" in bench.engine.called[:2]


def test_refusals_of_items_without_a_job_are_no_attempts_and_trip_nothing() -> None:
    refused = Failure(Stage.PREDICT, "E", "no instance", retryable=True, retry_after=1.0, of_job=True)
    bench = bench_with(predict=lambda _: refused)
    bench.feed(*[b"1"] * 20)
    bench.run()
    assert not bench.engine.restarts
    retried = bench.written(TOPICS.retry(1))
    assert [dict(record.headers).get("si-attempt", b"1") for record in retried] == [b"1"] * 20


def test_a_hook_that_fails_while_the_predictor_is_tried_waits_until_it_serves() -> None:
    bench = bench_with("j", predict=lambda _: BUSY)
    bench.feed(*[b"1"] * 10)
    bench.run()
    load(bench, State.READY)
    bench.views.status["j"] = bench.views.status["j"].model_copy(update={"phase": Phase.HOOK})
    bench.feed(b"", headers=item_headers(job_id="j", control=Control.ON_JOB_COMPLETE))
    for _ in range(12):
        bench.now += 31.0
        bench.run(4)
    assert not [event for event in bench.events() if isinstance(event, HookEnded)]

    bench.engine.predict = picky
    bench.now += 31.0
    bench.run(10)
    assert [event.error for event in bench.events() if isinstance(event, HookEnded)] == [None]


def halted_with(*job_ids: str) -> WorkerBench:
    bench = bench_with(*job_ids)
    load(bench, State.UNAVAILABLE, "no GPU")
    for job_id in job_ids:
        bench.feed(b"1", headers=of(job_id))
    bench.now += 1.0
    bench.run()
    return bench


def hindered(bench: WorkerBench) -> list[str]:
    return [event.job_id for event in bench.events() if isinstance(event, Hindered)]


def test_a_predictor_that_serves_again_takes_back_what_hindered_its_jobs_before_an_item_has_ended() -> None:
    bench = halted_with("j", "k")
    bench.engine.predict = lambda _: BUSY
    load(bench, State.LOADING)
    assert not [event for event in bench.events() if isinstance(event, Unhindered)]
    load(bench, State.READY)
    bench.run()
    assert sorted(hindered(bench)) == ["j", "k"]
    assert sorted(event.job_id for event in bench.events() if isinstance(event, Unhindered)) == ["j", "k"]
    assert not bench.values(TOPICS.results)


def test_a_worker_that_stays_halted_says_so_again_where_another_one_took_it_back_and_gets_nothing_done() -> None:
    bench = halted_with("j")
    running = bench.views.status["j"]
    shown = running.model_copy(update={"hindrances": {HinderedRole.WORKER: "no GPU"}})
    going_on = running.model_copy(update={"counts": Counts(succeeded=1)})
    told = []
    for row in (shown, running, going_on, going_on):
        bench.views.status["j"] = row
        bench.now += 10.0
        bench.run()
        told.append(len(hindered(bench)))
        bench.now += 5.0
        bench.run()
        assert len(hindered(bench)) == told[-1], "not within 10 s"
    assert told == [1, 2, 2, 3]


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


def test_nothing_is_rejected_or_moved_while_the_api_is_halted_and_all_of_it_ends_afterwards() -> None:
    bench = bench_with()
    load(bench, State.UNAVAILABLE, "no GPU")
    reference = item_headers(content_type=REFERENCE)
    bench.feed(b"a fault", headers=(("si-attempt", b"first"),))
    bench.feed(b"no reference", headers=reference)
    bench.feed(b"later", headers=(("si-not-before", b"1060"),))
    bench.run()
    assert ends(bench) == []
    assert bench.ledger.in_work == 0

    load(bench, State.READY)
    assert bench.values(TOPICS.dlq) == [b"a fault", b"no reference"]
    assert bench.values(TOPICS.retry(1)) == [b"later"]


def test_a_fetch_that_fails_while_the_api_is_halted_is_tried_again_afterwards() -> None:
    bench = bench_with()
    bench.fetch.bring = lambda _: halt_meanwhile(bench)
    bench.feed(b'{"uri": "s3://b/k"}', headers=item_headers(content_type=REFERENCE))
    bench.run()
    assert ends(bench) == []
    assert bench.ledger.in_work == 0

    bench.fetch.bring = lambda _: Payload(b"fetched")
    load(bench, State.READY)
    assert bench.values(TOPICS.results) == [b"fetched"]
    assert len(bench.fetch.asked) == 2


def halt_meanwhile(bench: WorkerBench) -> Failure:
    bench.engine.readiness = Readiness(State.UNAVAILABLE, "no GPU")
    bench.circuit.turn(bench.now)
    return Failure(Stage.FETCH, "x.Gone", "gone", final=True)


def test_a_fetched_payload_that_is_given_back_is_let_go_and_counts_no_more() -> None:
    bench = bench_with()
    bench.fetch.bring = lambda _: Payload(b"." * 5000)
    value = b'{"uri": "s3://b/k"}'
    bench.engine.readiness = Readiness(State.LOADING)
    bench.feed(value, headers=item_headers(content_type=REFERENCE))
    bench.run()
    assert bench.ledger.held_bytes == 5000
    load(bench, State.UNAVAILABLE, "no GPU")
    assert bench.ledger.held_bytes == len(value)


def test_what_ended_behind_waiting_items_while_the_api_was_halted_makes_them_lap_afterwards() -> None:
    bench = bench_with("j")
    tier = TOPICS.retry(1)
    bench.feed(b"later", topic=tier, headers=(("si-not-before", b"1004"),))
    bench.run()
    load(bench, State.UNAVAILABLE, "no GPU")
    stopped = bench.views.status["j"].model_copy(update={"cause": "stopped"})
    bench.views.status["j"] = stopped
    bench.feed(b"1", topic=tier, headers=of("j"))
    bench.run()
    assert ends(bench) == []

    load(bench, State.READY)
    assert bench.values(tier) == [b"later"]
    assert bench.producer.offsets[tier, 0] == 2


def test_what_the_predictor_cannot_decode_while_it_is_tried_is_kept_until_it_serves() -> None:
    undecodable = Failure(Stage.DECODE, "x.Undecodable", "no JSON", final=True)
    bench = bench_with(predict=lambda _: BUSY)
    bench.feed(*[b"1"] * 10)
    bench.run()
    load(bench, State.READY)
    bench.engine.predict = lambda _: undecodable
    for _ in range(3):
        bench.now += 31.0
        bench.run()
    assert ends(bench) == []

    bench.engine.predict = picky
    bench.now += 31.0
    bench.run(10)
    assert ends(bench) == [TOPICS.results] * 10


def test_a_reference_that_is_none_is_not_rejected_when_its_turn_to_be_tried_comes() -> None:
    bench = bench_with(predict=lambda _: BUSY)
    bench.feed(*[b"1"] * 10)
    bench.run()
    load(bench, State.READY)
    bench.feed(b"no reference", topic=TOPICS.retry(2), headers=item_headers(content_type=REFERENCE))
    for _ in range(12):
        bench.now += 31.0
        bench.run(4)
    assert ends(bench) == []


def test_a_held_item_that_cannot_be_tried_now_does_not_keep_the_others_from_being_tried() -> None:
    bench = bench_with(predict=lambda _: BUSY)
    bench.fetch.bring = lambda _: Failure(Stage.FETCH, "x.Away", "away", retryable=True)
    bench.feed(*[b"1"] * 10)
    bench.run()
    load(bench, State.READY)
    bench.engine.predict = lambda data: Output(data) if b"good" in bench.engine.called else BUSY
    bench.feed(b"a fault", headers=(("si-attempt", b"first"),))
    bench.feed(b"later", headers=(("si-not-before", b"4000"),))
    bench.feed(b'{"uri": "s3://b/k"}', headers=item_headers(content_type=REFERENCE))
    bench.feed(b"good")
    for _ in range(12):
        bench.now += 31.0
        bench.run(4)
    assert bench.values(TOPICS.results) == [*[b"1"] * 10, b"good"], "it was tried in its turn, and so the API serves"
    assert bench.values(TOPICS.dlq) == [b"a fault"]
    assert bench.values(TOPICS.retry(1)) == [b"later", b'{"uri": "s3://b/k"}']
    assert len(bench.fetch.asked) == 2


def test_an_item_of_a_job_that_was_stopped_before_the_halt_does_not_wait_for_its_end() -> None:
    bench = bench_with("j")
    bench.engine.readiness = Readiness(State.LOADING)
    bench.feed(b"1", headers=of("j"))
    bench.run()
    stopped = bench.views.status["j"].model_copy(update={"cause": "stopped"})
    bench.views.status["j"] = stopped
    bench.ending.note("j", stopped)
    bench.run()
    load(bench, State.UNAVAILABLE, "no GPU")
    skipped = sum(event.delta.skipped for event in bench.events() if isinstance(event, Counted))
    assert skipped == 1
