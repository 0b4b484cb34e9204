"""What becomes of one reference."""

import asyncio
import gc
import weakref

import pytest

from stream_infer.errors import RetryableError
from stream_infer.ports import Reference
from stream_infer.references import fetch_one


class Arrived:
    """Stands for the bytes that had come."""


class BreaksOff:
    """Fails in a cycle: its error holds the frame, which holds the error."""

    def __init__(self):
        self.arrived = None

    async def fetch(self, reference):
        arrived = Arrived()
        self.arrived = weakref.ref(arrived)
        try:
            raise OSError("reset")
        except OSError as error:
            kept = error
            raise RetryableError("the connection broke") from kept

    async def close(self):
        pass


@pytest.fixture
def without_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_a_fetch_that_failed_leaves_nothing_of_what_had_come_though_nobody_looks_for_cycles(without_collector):
    fetcher = BreaksOff()

    failure = asyncio.run(fetch_one(fetcher, Reference("https://example.com/x")))

    assert failure.retryable
    assert fetcher.arrived() is None
