"""Notes that have served go from the store, however often it takes."""

from typing import Any

from stream_infer.errors import ServiceUnavailable
from stream_infer.sink.served_notes import ServedNotes
from tests.support.hand_worked_pool import HandWorkedPool
from tests.support.memory_store import MemoryStore


class Away(MemoryStore):
    away = True

    def delete(self, key: str) -> None:
        if self.away:
            raise ServiceUnavailable("no store there")
        super().delete(key)


def test_a_note_that_could_not_be_removed_is_removed_when_the_store_is_back() -> None:
    store, pool = Away(), HandWorkedPool()
    hand: Any = pool
    notes = ServedNotes(store, hand)
    store.put("note", b"[]", "application/json")
    notes.add("note")

    notes.advance(0.0)
    pool.work()
    notes.advance(0.0)
    assert (bool(notes), pool.work()) == (True, 0), "not at once again"

    store.away = False
    notes.advance(60.0)
    pool.work()
    notes.advance(60.0)
    assert (bool(notes), store.exists("note")) == (False, False)
