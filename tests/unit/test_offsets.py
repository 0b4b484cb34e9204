"""Where partitions begin and end, when a client without a leader says nothing of the kind."""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import OFFSET_INVALID

from stream_infer.errors import ServiceUnavailable
from stream_infer.kafka.offsets import end_offsets, first_offsets, offsets_at, stable_end

P, Q = ("t", 0), ("t", 1)


@dataclass
class Answer:
    offset: int


class Admin:
    """Answers each question with the next list of offsets, the last one for ever."""

    def __init__(self, *answers: list[int]) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.looked_up = 0

    def list_offsets(self, wanted: dict[Any, Any], **_options: Any) -> dict[Any, Future[Answer]]:
        given = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        futures: dict[Any, Future[Answer]] = {}
        for place, offset in zip(wanted, given, strict=True):
            futures[place] = Future()
            futures[place].set_result(Answer(offset))
        return futures

    def list_topics(self, timeout: float) -> None:
        self.looked_up += 1


@pytest.mark.parametrize("ask", [end_offsets, first_offsets])
def test_an_offset_that_is_none_is_asked_for_again(ask: Any) -> None:
    admin: Any = Admin([4, OFFSET_INVALID], [4, -1], [4, 7])

    assert ask(admin, [P, Q], "here") == {P: 4, Q: 7}
    assert admin.asked == 3


def test_one_that_never_comes_is_a_service_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_infer.kafka.offsets.ask_patiently", lambda ask, *_, **__: ask())
    admin: Any = Admin([OFFSET_INVALID])

    with pytest.raises(ServiceUnavailable):
        end_offsets(admin, [P], "here")
    assert stable_end(admin, P) is None


def test_a_client_that_knows_no_leader_looks_for_one_before_it_is_asked_again() -> None:
    admin: Any = Admin([OFFSET_INVALID], [7])

    assert (stable_end(admin, P), admin.looked_up) == (None, 1)
    assert (stable_end(admin, P), admin.looked_up) == (7, 1)


def test_where_no_record_is_as_late_the_end_is_taken() -> None:
    admin: Any = Admin([9, 9], [OFFSET_INVALID, 3], [-1, 3])

    assert offsets_at(admin, [P, Q], 1000, "here") == {P: 9, Q: 3}
