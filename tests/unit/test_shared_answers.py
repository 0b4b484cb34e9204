"""An answer that takes its time is made once for many who ask."""

import asyncio

import pytest

from stream_infer.gateway.shared import Shared


class Made:
    """Answers 1, 2, 3 …, each when `may_end` is set; the answers in `failing` are errors."""

    def __init__(self, *failing: int) -> None:
        self.count = 0
        self.now = 100.0
        self.failing = failing
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.shared = Shared(self.make, 1.0, lambda: self.now)

    async def make(self) -> int:
        self.count += 1
        number = self.count
        await self.may_end.wait()
        if number in self.failing:
            raise KeyError(number)
        return number


def test_an_answer_holds_for_its_time_from_when_it_was_begun() -> None:
    async def run() -> None:
        made = Made()
        found = []
        for now in (100.0, 100.9, 101.0, 101.99, 102.0):
            made.now = now
            found.append(await made.shared.get())
        assert found == [1, 1, 2, 2, 3]

    asyncio.run(run())


def test_all_who_ask_meanwhile_wait_for_the_same_and_one_who_leaves_takes_it_from_nobody() -> None:
    async def run() -> None:
        made = Made()
        made.may_end.clear()
        asking = [asyncio.ensure_future(made.shared.get()) for _ in range(5)]
        await asyncio.sleep(0)
        made.now += 10.0
        asking.append(asyncio.ensure_future(made.shared.get()))
        await asyncio.sleep(0)
        asking.pop(0).cancel()
        made.may_end.set()
        assert await asyncio.gather(*asking) == [1] * 5

    asyncio.run(run())


def test_a_failure_is_told_and_not_kept() -> None:
    async def run() -> None:
        made = Made(1)
        with pytest.raises(KeyError):
            await made.shared.get()
        assert await made.shared.get() == 2

    asyncio.run(run())
