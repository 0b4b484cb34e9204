"""What a gateway lacks to be ready, told on another thread than its event loop's."""

import asyncio
from types import SimpleNamespace

from aiohttp import web

from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.health import HealthResource
from stream_infer.telemetry.exposure import Exposure


def services(fault=None):
    """Of which Kafka does not answer, where there is a `fault`."""

    async def catch_up(timeout_s):
        if fault:
            raise ServiceUnavailable(fault)

    async def block(work):
        return work()

    return SimpleNamespace(
        board=SimpleNamespace(catch_up=catch_up), store=SimpleNamespace(exists=lambda key: False), block=block
    )


def told(services):
    """Before it runs, while it does, and behind that."""
    exposure = Exposure()

    async def run():
        before = exposure.missing()
        telling = HealthResource(services, exposure).told(web.Application())
        await anext(telling)
        meanwhile = await asyncio.to_thread(exposure.missing)
        await anext(telling, None)
        return before, meanwhile, exposure.missing()

    return asyncio.run(run())


def test_a_gateway_that_serves_lacks_nothing():
    assert told(services()) == (["It is starting."], [], ["It is ending."])


def test_where_kafka_does_not_answer_that_is_what_is_missing():
    _, [missing], _ = told(services("no answer from kafka:9092"))

    assert "Kafka" in missing
    assert "no answer from kafka:9092" in missing
