"""What is put into the arena is read from it unchanged, until it is freed, whatever else comes and goes meanwhile."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.engine.arena import SMALLEST, Arena, SharedPayloads

SIZE = 8 * SMALLEST


@pytest.fixture
def arena() -> Iterator[Arena]:
    made = Arena(SIZE)
    yield made
    made.close()


def child_of(arena: Arena) -> SharedPayloads:
    return SharedPayloads(os.dup(arena.fd))


def test_payloads_are_read_as_they_were_put(arena: Arena) -> None:
    payloads = [b"a" * SMALLEST, b"", b"bc"]

    placed = arena.put(1, payloads)

    assert placed is not None
    assert [bytes(view) for view in child_of(arena).payloads(placed)] == payloads


def test_few_bytes_are_not_worth_it(arena: Arena) -> None:
    assert arena.put(1, [b"a" * (SMALLEST - 1)]) is None


def test_where_there_is_no_room_they_go_another_way_until_there_is(arena: Arena) -> None:
    assert arena.put(1, [bytes(SIZE)]) is not None
    assert arena.put(2, [bytes(SMALLEST)]) is None

    arena.free(1)

    assert arena.put(3, [bytes(SMALLEST)]) is not None


def test_a_child_cannot_write_what_it_reads(arena: Arena) -> None:
    placed = arena.put(1, [bytes(SMALLEST)])
    assert placed is not None

    [view] = child_of(arena).payloads(placed)

    with pytest.raises(TypeError):
        view[0] = 1


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.integers(0, 9))))
def test_nobody_writes_where_an_unanswered_call_lies(steps: list[tuple[int, bool, int]]) -> None:
    arena = Arena(SIZE)
    child = child_of(arena)
    lying = {}
    try:
        for call_id, (size, puts, which) in enumerate(steps):
            if puts:
                payloads = [bytes([call_id % 256]) * (size * SMALLEST), b"end of %d" % call_id]
                if (placed := arena.put(call_id, payloads)) is not None:
                    lying[call_id] = placed, payloads
            elif lying:
                answered = sorted(lying)[which % len(lying)]
                arena.free(answered)
                del lying[answered]
            for placed, payloads in lying.values():
                assert [bytes(view) for view in child.payloads(placed)] == payloads
    finally:
        arena.close()


def test_what_the_child_marks_is_seen_by_its_parent_though_payloads_fill_the_arena(arena: Arena) -> None:
    child = child_of(arena)
    assert arena.begun() == 0

    child.begin(1 << 40)
    arena.put(1, [b"\xff" * SIZE])

    assert arena.begun() == 1 << 40


def test_the_mark_lies_behind_an_arena_of_any_size() -> None:
    arena = Arena(SMALLEST + 1)
    child_of(arena).begin(7)
    assert arena.put(1, [b"x" * (SMALLEST + 1)]) == (0, [SMALLEST + 1])
    assert arena.begun() == 7
    arena.close()
