import time
from pathlib import Path

import psutil
import pytest
import structlog

from stream_infer.engine.loading import Loading, process_age
from stream_infer.errors import Stage
from stream_infer.records import Failure, Output
from stream_infer.worker.startup import Startup, Step
from tests.support.worker_bench import WorkerBench


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def startup(clock: Clock) -> Startup:
    return Startup(2.0, clock)


def reach(startup: Startup, clock: Clock, step: Step, after: float) -> None:
    clock.now += after
    startup.reach(step)


def test_each_step_took_what_has_passed_since_the_one_before_and_the_first_one_the_age_of_the_process(
    startup: Startup, clock: Clock
) -> None:
    reach(startup, clock, Step.IMPORTED, 0.5)
    reach(startup, clock, Step.CONFIGURED, 0.25)
    reach(startup, clock, Step.PREDICTOR, 3.0)

    assert startup.seconds() == {"seconds": 5.75, "imported": 2.5, "configured": 0.25, "predictor": 3.0}


def test_a_step_that_is_reached_again_counts_where_it_was_first(startup: Startup, clock: Clock) -> None:
    reach(startup, clock, Step.JOINED, 1.0)
    reach(startup, clock, Step.FIRST_ITEM, 1.0)
    reach(startup, clock, Step.JOINED, 10.0)

    assert startup.seconds() == {"seconds": 4.0, "joined": 3.0, "first_item": 1.0}


def test_what_the_predictor_took_by_itself_stands_beside(startup: Startup, clock: Clock) -> None:
    reach(startup, clock, Step.COMMITTED, 1.0)

    with structlog.testing.capture_logs() as logs:
        startup.tell(Loading(process=0.5, module=1.0, constructor=0.25, warm_up=0.125))

    assert logs == [
        {
            "event": "first_result_committed",
            "log_level": "info",
            "seconds": 3.0,
            "committed": 3.0,
            "predictor_process": 0.5,
            "predictor_module": 1.0,
            "predictor_constructor": 0.25,
            "predictor_warm_up": 0.125,
        }
    ]


def test_a_worker_tells_it_with_the_first_transaction_that_has_a_result_and_never_again(startup: Startup) -> None:
    bad = Failure(Stage.PREDICT, "E", "bad", final=True)
    bench = WorkerBench(lambda data: bad if data == b'"bad"' else Output(data), startup=startup)
    told = []

    for value in (b'"bad"', b"1", b"2"):
        bench.feed(value)
        with structlog.testing.capture_logs() as logs:
            bench.run()
        told.append([log for log in logs if log["event"] == "first_result_committed"])

    [none, [line], none_again] = told
    assert none == none_again == []
    assert set(line) >= {"seconds", "joined", "first_item", "committed", "predictor_warm_up"}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not say")
def test_a_process_knows_its_age() -> None:
    assert process_age() == pytest.approx(time.time() - psutil.Process().create_time(), abs=30.0)
