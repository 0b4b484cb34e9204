"""The local Kafka as one more thing that is kept alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from stream_infer.errors import ServiceUnavailable
from stream_infer.local.broker import LocalBroker
from stream_infer.local.supervision import Restart, RestartPolicy, after_death

_LOOK_EVERY_S = 0.5
_CRASHED = 1


async def keep_alive(broker: LocalBroker, ending: asyncio.Event, report: Callable[[str], None]) -> None:
    """Starts the broker again, on its ports and with its data, whenever it dies; until `ending` is set."""
    policy, deaths = RestartPolicy(), 0
    loop = asyncio.get_running_loop()
    started = loop.time()
    with ThreadPoolExecutor(1, "broker") as thread:  # it blocks, and wants to be used from one thread
        while not await _is_set_within(ending, _LOOK_EVERY_S):
            if broker.alive():
                continue
            decision = after_death(policy, _CRASHED, loop.time() - started, deaths)
            assert isinstance(decision, Restart)
            deaths = decision.deaths
            report(f"Kafka has died; starting it again in {decision.delay:.1f} s. Its log is {broker.log_file}")
            if await _is_set_within(ending, decision.delay):
                return
            started = loop.time()
            try:
                await loop.run_in_executor(thread, _start_again, broker)
            except ServiceUnavailable as error:
                report(str(error))
            else:
                report("Kafka is ready again")


def _start_again(broker: LocalBroker) -> None:
    broker.stop()
    broker.start()


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
