"""What `up` hears on the lookout's pipe."""

import asyncio
import os
from collections.abc import Mapping
from typing import Any, cast

import pytest

from stream_infer.definitions import Definition
from stream_infer.local import scaling_task
from stream_infer.local.deployments import Deployments
from stream_infer.local.scaler import Scaler
from stream_infer.local.scaling import Lag
from stream_infer.local.scaling_task import scaling, sightings_pipe
from stream_infer.local.sighting import Sighting, encode_definitions, encode_sighting


class Ears:
    """Plays scaler, deployments and log."""

    def __init__(self) -> None:
        self.sightings: list[Sighting] = []
        self.definitions: list[Mapping[str, Definition]] = []
        self.said: list[str] = []
        self.seen = asyncio.Event()

    def see(self, what: Any) -> None:
        (self.sightings if isinstance(what, Sighting) else self.definitions).append(what)
        self.seen.set()

    def report(self, who: str, line: str) -> None:
        self.said.append(f"{who}: {line}")

    async def end(self) -> None: ...


async def hear(*told: bytes) -> Ears:
    """What comes of that, up to the first sighting or definitions."""
    ears, pipe, stop = Ears(), sightings_pipe(), asyncio.Event()
    async with (
        asyncio.timeout(60),
        scaling(cast(Scaler, ears), cast(Deployments, ears), pipe, stop, ears.report),
    ):
        for one in told:
            os.write(pipe.writing, one)
        await ears.seen.wait()
        assert not stop.is_set()
    return ears


def definitions(count: int) -> dict[str, Definition]:
    given = {"predictor": {"type": "native", "target": "m.py:M"}}
    names = [f"api-{number}" for number in range(count)]
    return {name: Definition(name=name, revision="r", definition={"name": name, **given}, at=0.0) for name in names}


def test_all_definitions_together_may_be_longer_than_a_line_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling_task, "_LONGEST_LINE", 1000)
    told = definitions(40)
    assert len(encode_definitions(told)) > 5000

    ears = asyncio.run(hear(encode_definitions(told)))

    assert (ears.definitions, ears.said) == ([told], [])


def test_a_line_that_is_too_long_is_passed_over_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling_task, "_LONGEST_LINE", 1000)
    after = Sighting("cats", Lag(3, 1))

    ears = asyncio.run(hear(b"x" * 5000, b"y" * 300 + b"\n", encode_sighting(after)))

    assert ears.sightings == [after]
    assert ears.said
    assert all("longer than 1,000 bytes" in line for line in ears.said)
