"""A step that is being taken: whose threads it has, and when it is tried again."""

import threading

import pytest

from stream_infer.errors import ServiceUnavailable
from stream_infer.jobs.assembling import Assemble
from stream_infer.jobs.status import JobStatus, Phase, State
from stream_infer.records import OutgoingRecord
from stream_infer.sink.attempts import Attempt
from stream_infer.sink.backlog import Backlog, Step, Task
from stream_infer.sink.lanes import Lanes
from stream_infer.sink.puts import OutputUnavailable
from tests.support.hand_worked_pool import HandWorkedPool

STATUS = JobStatus(job_id="j", api="echo", state=State.FINALIZING, phase=Phase.ASSEMBLE)
RECORD = OutgoingRecord("progress", b"j", b"{}")


def task(output: str | None = None, step: Step = Step.ASSEMBLE) -> Task:
    return Task(4, step, STATUS.model_copy(update={"assemble": Assemble(output=output)}))


@pytest.mark.parametrize("fault", [ServiceUnavailable("the store is away"), OutputUnavailable("the place is away")])
def test_a_step_that_fails_for_something_away_gives_its_thread_back_and_is_tried_again_later(fault: Exception) -> None:
    pool = HandWorkedPool()
    said: list[Exception | OutgoingRecord] = [fault, fault, RECORD]
    attempt = Attempt(("status", 0), Backlog(0.5), task())

    def take() -> list[OutgoingRecord]:
        answer = said.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return [answer]

    def turn(now: float) -> bool:
        attempt.go_on(lambda _attempt: pool.submit(take), now)
        pool.work()
        return attempt.is_over(now)

    assert not turn(100.0)
    assert not attempt.is_trying
    assert not turn(100.2)
    assert len(said) == 2  # the first wait is 0.25 s
    assert not turn(100.25)
    assert not turn(100.7)
    assert turn(100.75)
    assert attempt.records() == [RECORD]


def test_the_patience_with_a_place_begins_when_it_is_first_away_and_anew_behind_a_service_that_was() -> None:
    pool, attempt = HandWorkedPool(), Attempt(("status", 0), Backlog(0.5), task("s3://b/out"))
    place, service = OutputUnavailable("no such bucket"), ServiceUnavailable("the store is away")

    def fail(error: Exception, now: float) -> float | None:
        def take() -> list[OutgoingRecord]:
            raise error

        attempt.go_on(lambda _attempt: pool.submit(take), now)
        pool.work()
        assert not attempt.is_over(now)
        return attempt.away_since

    said = [fail(error, 1000.0 + 100 * n) for n, error in enumerate([service, place, place, service, place])]
    assert said == [None, 1100.0, 1100.0, None, 1400.0]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            OutputUnavailable("no such bucket"),
            "the sink waits for s3://b/out since 2025-01-31T23:59:27Z, 15 min at most: no such bucket",
        ),
        (ServiceUnavailable("S3 is away"), "the sink waits since 2025-01-31T23:59:27Z: S3 is away"),
    ],
)
def test_what_a_step_waits_for_is_said_with_since_when(fault: Exception, words: str) -> None:
    pool, attempt = HandWorkedPool(), Attempt(("status", 0), Backlog(0.5), task("s3://b/out"))

    def take() -> list[OutgoingRecord]:
        raise fault

    for now in (1000.0, 1030.0):
        attempt.go_on(lambda _attempt: pool.submit(take), now)
        pool.work()
        assert not attempt.is_over(now)

    assert attempt.waits is not None
    assert attempt.waits.words(now=1032.0, at=1738367999.0) == words


def test_what_nobodys_absence_explains_is_raised_where_the_records_are_asked_for() -> None:
    pool, attempt = HandWorkedPool(), Attempt(("status", 0), Backlog(0.5), task())
    attempt.go_on(lambda _attempt: pool.submit(lambda: [1 // 0]), 0.0)
    pool.work()

    assert attempt.is_over(0.0)
    with pytest.raises(ZeroDivisionError):
        attempt.records()


def test_only_assembling_goes_to_a_jobs_own_place() -> None:
    assert task("s3://b/out").output == "s3://b/out"
    assert task("s3://b/out", Step.HOOK).output is None
    assert Task(4, Step.ASSEMBLE, STATUS).output is None


def test_a_place_whose_threads_are_all_taken_takes_none_of_the_others() -> None:
    lanes, gate = Lanes(2, "test", ["s3://away", "file:///fine"]), threading.Event()
    stuck = [lanes.of("s3://away/here").submit(gate.wait, 10) for _ in range(5)]

    others = (None, "file:///fine/deep", "s3://allowed-no-more")
    assert [lanes.of(output).submit(lambda: "done").result(10) for output in others] == ["done"] * 3
    assert not any(future.done() for future in stuck)
    assert lanes.of("s3://away/there") is lanes.of("s3://away/here")

    gate.set()
    lanes.close()
