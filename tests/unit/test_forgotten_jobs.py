"""Which specs a gateway removes."""

import asyncio
from types import SimpleNamespace
from typing import Any

from stream_infer.gateway.claims import Claims
from stream_infer.gateway.forgotten_jobs import ForgottenJobs
from stream_infer.topics import Topics


class Board:
    """What is forgotten at each look, the last look for ever."""

    def __init__(self, *looks: list[str]) -> None:
        self.looks = list(looks)

    async def catch_up(self) -> None: ...

    def forgotten(self) -> list[str]:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]


class Alone:
    """Claims that are granted at once; `written` are the tombstones' keys, by claim."""

    slot_of = staticmethod(Claims.slot_of)

    def __init__(self) -> None:
        self.written: list[set[str]] = []

    async def alone(self, job_id: str, act: Any) -> None:
        async def write(records: Any) -> None:
            assert {record.value for record in records} == {None}
            assert {self.slot_of(record.key.decode()) for record in records} == {self.slot_of(job_id)}
            self.written.append({record.key.decode() for record in records})

        await act(write)


def removed(board: Board) -> list[set[str]]:
    claims = Alone()
    services: Any = SimpleNamespace(board=board, claims=claims, topics=Topics("p"))
    asyncio.run(ForgottenJobs(services).remove())
    return claims.written


def test_each_is_removed_under_the_claim_of_its_slot() -> None:
    ids = [f"job-{number}" for number in range(100)]
    written = removed(Board(ids))

    assert set.union(*written) == set(ids)
    assert len(written) == len({Claims.slot_of(job_id) for job_id in ids})


def test_an_id_that_was_chosen_again_since_the_look_stays() -> None:
    assert removed(Board(["chosen", "gone"], ["gone"])) == [{"gone"}]
