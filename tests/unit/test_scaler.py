"""The scaler between a lookout and a supervisor that the test plays."""

from __future__ import annotations

from stream_infer.jobs.counts import Counts
from stream_infer.jobs.demand import JobDemand
from stream_infer.jobs.status import JobStatus, State
from stream_infer.kafka.lag import Standing
from stream_infer.local.scaler import Scaler
from stream_infer.local.scaling import Lag, ScalingPolicy
from stream_infer.local.sighting import SeenJob, Sighting, decode_sighting, encode_sighting, sight

ITEMS, RETRY = "p.cats.items", "p.cats.retry.1"
DRAINED = Sighting("cats", Lag(0, 0))
NOW = 1000.0


class World:
    """One API with 0 to 2 workers, which serve as soon as they are wanted; the test turns the clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.count = self.serving = 0
        self.said: list[str] = []
        policies = {"cats": ScalingPolicy(0, 2, idle_s=30.0, behind_s=2.5)}
        self.scaler = Scaler(policies, self, self.hear, lambda: self.now)

    def workers(self, api: str) -> tuple[int, int]:
        assert api == "cats"
        return self.count, self.serving

    def scale(self, api: str, count: int) -> None:
        assert api == "cats"
        self.count = self.serving = count

    def hear(self, who: str, line: str) -> None:
        assert who == "up"
        self.said.append(line)


def test_an_idle_api_gets_a_worker_with_its_first_item_and_loses_it_when_it_has_been_idle_for_long() -> None:
    world = World()
    world.scaler.see(DRAINED)
    assert world.count == 0

    world.scaler.see(Sighting("cats", Lag(3, 1)))
    assert world.count == 1
    for world.now in (1.0, 29.0):
        world.scaler.see(DRAINED)
        assert world.count == 1
    world.now = 30.0
    world.scaler.see(DRAINED)
    assert world.count == 0
    assert world.said == [
        "cats: 0 → 1 worker (lag 3)",
        "cats: 1 → 0 workers (nothing to do, and it has been for 30 s)",
    ]


def test_of_a_job_that_finds_no_worker_the_time_to_its_first_result_is_told_once() -> None:
    world = World()
    demand = JobDemand(None, 5, exhausted=True)
    world.scaler.see(Sighting("cats", Lag(5, 1), jobs=(SeenJob("j", 100.0, None, demand),)))
    for _ in range(2):
        world.scaler.see(Sighting("cats", Lag(0, 0), jobs=(SeenJob("j", 100.0, 102.5, None),)))

    assert [line for line in world.said if "first item" in line] == [
        "cats: job j: first item ended 2.5 s after its submission, which found no worker"
    ]


def test_while_kafka_is_away_nobody_is_ended_and_that_is_said_once() -> None:
    world = World()
    world.scaler.see(Sighting("cats", Lag(5, 1)))
    for world.now in (100.0, 200.0):
        world.scaler.see(Sighting("cats", None, fault="no broker"))

    assert world.count == 1
    assert [line for line in world.said if "no broker" in line] == [
        "cats: nobody says how many items wait, so nothing is ended: no broker"
    ]


def test_an_api_that_is_not_scaled_is_left_alone() -> None:
    world = World()
    world.scaler.see(Sighting("dogs", Lag(5, 1)))

    assert world.said == []


def row(job_id: str, state: State = State.RUNNING, api: str = "cats", **times: float) -> JobStatus:
    counts = Counts(enqueued=5, succeeded=2)
    return JobStatus(job_id=job_id, api=api, state=state, counts=counts, submitted_at=990.0, workers=2, times=times)


def test_a_sighting_has_the_lag_of_items_and_retries_and_the_jobs_of_the_api() -> None:
    standing = Standing({(ITEMS, 0): 0, (ITEMS, 1): 3, (RETRY, 0): 2}, place=40)
    rows = [
        row("active", running=995.0),
        row("new", State.VALIDATING),
        row("just-ended", State.SUCCEEDED, running=995.0, succeeded=996.0),
        row("ended", State.SUCCEEDED, succeeded=900.0),
        row("another", api="dogs"),
    ]

    seen = sight("cats", ITEMS, standing, rows, NOW)

    demand = JobDemand(2, 3, exhausted=False)
    assert seen == Sighting(
        "cats",
        Lag(3, 1, retries=2),
        40,
        jobs=(
            SeenJob("active", 990.0, 995.0, demand),
            SeenJob("new", 990.0, None, demand),
            SeenJob("just-ended", 990.0, 995.0, None),
        ),
    )
    assert not seen.is_quiet
    assert decode_sighting(encode_sighting(seen)) == seen


def test_where_kafka_does_not_say_a_sighting_says_why_and_is_not_quiet() -> None:
    seen = sight("cats", ITEMS, "no broker", [], NOW)

    assert seen == Sighting("cats", None, fault="no broker")
    assert not seen.is_quiet
    assert DRAINED.is_quiet


def test_a_part_of_a_line_is_no_sighting() -> None:
    whole = encode_sighting(DRAINED)

    assert decode_sighting(whole[:-9] + whole) is None
    assert decode_sighting(whole) == DRAINED
