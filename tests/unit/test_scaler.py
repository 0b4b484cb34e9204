"""The scaler between a Kafka and a supervisor that the test plays."""

from __future__ import annotations

import asyncio

from stream_infer.errors import ServiceUnavailable
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.status import JobStatus, State
from stream_infer.kafka.lag import Standing
from stream_infer.local.scaler import ScaledApi, Scaler
from stream_infer.local.scaling import ScalingPolicy

ITEMS, RETRY = "p.cats.items", "p.cats.retry.1"


class World:
    """One API with 0 to 2 workers, which serve as soon as they are wanted; the test turns the clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lag: dict[tuple[str, int], int] = {(ITEMS, 0): 0, (ITEMS, 1): 0, (RETRY, 0): 0}
        self.is_away = False
        self.jobs: dict[str, JobStatus] = {}
        self.count = self.serving = 0
        self.said: list[str] = []
        self.api = ScaledApi("cats", ITEMS, ScalingPolicy(0, 2, idle_s=30.0, behind_s=2.5), self.stand)

    def stand(self) -> Standing:
        if self.is_away:
            raise ServiceUnavailable("no broker")
        return Standing(dict(self.lag), 0)

    def workers(self, api: str) -> tuple[int, int]:
        assert api == "cats"
        return self.count, self.serving

    def scale(self, api: str, count: int) -> None:
        assert api == "cats"
        self.count = self.serving = count

    def hear(self, who: str, line: str) -> None:
        assert who == "up"
        self.said.append(line)

    def job(self, state: State = State.VALIDATING, *, ended: int = 0, at: float = 0.0) -> None:
        times = {State.RUNNING.value: at} if at else {}
        counts = Counts(enqueued=5, succeeded=ended)
        self.jobs["j"] = JobStatus(
            job_id="j", api="cats", state=state, counts=counts, exhausted=True, submitted_at=100.0, times=times
        )


def test_an_idle_api_gets_a_worker_with_its_first_item_and_loses_it_when_it_has_been_idle_for_long() -> None:
    async def scenario() -> None:
        world = World()
        scaler = Scaler([world.api], world, lambda: world.jobs, world.hear, lambda: world.now)
        await scaler.look(world.api)
        assert world.count == 0

        world.lag[ITEMS, 1] = 3
        await scaler.look(world.api)
        assert world.count == 1
        world.lag[ITEMS, 1] = 0
        for world.now in (1.0, 29.0):
            await scaler.look(world.api)
            assert world.count == 1
        world.now = 30.0
        await scaler.look(world.api)
        assert world.count == 0
        assert world.said == [
            "cats: 0 → 1 worker (lag 3)",
            "cats: 1 → 0 workers (nothing to do, and it has been for 30 s)",
        ]

    asyncio.run(scenario())


def test_of_a_job_that_finds_no_worker_the_time_to_its_first_result_is_told_once() -> None:
    async def scenario() -> None:
        world = World()
        scaler = Scaler([world.api], world, lambda: world.jobs, world.hear, lambda: world.now)
        world.job()
        world.lag[ITEMS, 0] = 5
        await scaler.look(world.api)
        world.job(State.RUNNING, ended=1, at=102.5)
        await scaler.look(world.api)
        await scaler.look(world.api)
        assert [line for line in world.said if "first item" in line] == [
            "cats: job j: first item ended 2.5 s after its submission, which found no worker"
        ]

    asyncio.run(scenario())


def test_while_kafka_is_away_nobody_is_ended_and_that_is_said_once() -> None:
    async def scenario() -> None:
        world = World()
        scaler = Scaler([world.api], world, lambda: world.jobs, world.hear, lambda: world.now)
        world.lag[ITEMS, 0] = 5
        await scaler.look(world.api)
        world.is_away = True
        for world.now in (100.0, 200.0):
            await scaler.look(world.api)
        assert world.count == 1
        assert [line for line in world.said if "no broker" in line] == [
            "cats: nobody says how many items wait, so nothing is ended: no broker"
        ]

    asyncio.run(scenario())


def test_a_job_for_an_api_without_a_worker_is_seen_at_once() -> None:
    async def scenario() -> None:
        world = World()
        scaler = Scaler([world.api], world, lambda: world.jobs, world.hear, lambda: world.now)
        task = asyncio.create_task(scaler.run())
        await asyncio.sleep(0.05)  # it has looked, and waits
        world.job()
        world.lag[ITEMS, 0] = 5
        scaler.note(world.jobs["j"])
        async with asyncio.timeout(0.5):
            while world.count == 0:
                await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(scenario())
