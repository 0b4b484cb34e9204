"""Offsets follow completion: only the contiguous ended prefix of a partition is delivered."""

from hypothesis import given
from hypothesis import strategies as st

from stream_infer.records import Output, Position
from stream_infer.worker.held import SKIPPED, Entry, Prefix
from stream_infer.worker.ledger import Ledger
from tests.support.items import item_at

A = ("items", 0)
B = ("items", 1)
DONE = Output(b"1")


def ledger_with(partition: tuple[str, int], offsets: list[int]) -> tuple[Ledger, list[Entry]]:
    ledger = Ledger()
    ledger.assign([partition])
    return ledger, ledger.admit(partition, [item_at(*partition, offset) for offset in offsets])


def deliver(ledger: Ledger, prefixes: list[Prefix]) -> None:
    ledger.begin_delivery(prefixes)
    ledger.delivered(prefixes)


def test_an_item_that_ends_before_its_predecessor_waits_for_it() -> None:
    ledger, (first, second) = ledger_with(A, [0, 1])

    ledger.finish(second.token, DONE)

    assert ledger.prefixes(10) == []
    ledger.finish(first.token, SKIPPED)
    [prefix] = ledger.prefixes(10)
    assert prefix.parts == [first, second]
    assert prefix.offset == 2


def test_gaps_between_offsets_are_tolerated() -> None:
    ledger, entries = ledger_with(A, [3, 7, 20])

    for entry in entries:
        ledger.finish(entry.token, DONE)

    assert ledger.prefixes(10)[0].offset == 21


def test_the_end_mark_carries_the_offset_behind_transaction_markers() -> None:
    ledger, [entry] = ledger_with(A, [4])
    ledger.mark_end(A, 6)

    assert ledger.prefixes(10) == []
    ledger.finish(entry.token, DONE)

    assert ledger.prefixes(10)[0].offset == 6


def test_an_end_mark_alone_is_deliverable() -> None:
    ledger = Ledger()
    ledger.assign([A])

    ledger.mark_end(A, 9)

    assert ledger.has_deliverable
    assert ledger.prefixes(10)[0].offset == 9


def test_an_end_that_a_later_record_stands_behind_already_does_not_set_the_group_back() -> None:
    ledger, entries = ledger_with(A, [9, 10])

    ledger.mark_end(A, 10)
    for entry in entries:
        ledger.finish(entry.token, DONE)

    assert ledger.prefixes(10)[0].offset == 11


def test_what_was_not_delivered_is_offered_again() -> None:
    ledger, [entry] = ledger_with(A, [0])
    ledger.finish(entry.token, DONE)

    prefixes = ledger.prefixes(10)
    ledger.begin_delivery(prefixes)
    assert (ledger.prefixes(10), ledger.held, ledger.has_deliverable) == ([], 1, False)
    ledger.deliver_again(prefixes)
    assert ledger.prefixes(10) == prefixes
    deliver(ledger, prefixes)

    assert not ledger.has_deliverable
    assert (ledger.held, ledger.held_bytes) == (0, 0)


def test_an_end_mark_at_which_the_group_stands_already_is_none() -> None:
    ledger, [entry] = ledger_with(A, [4])
    ledger.finish(entry.token, DONE)
    deliver(ledger, ledger.prefixes(10))

    ledger.mark_end(A, 5)

    assert not ledger.has_deliverable


def test_an_answer_for_a_revoked_partition_finds_nothing() -> None:
    ledger, [entry] = ledger_with(A, [0])
    ledger.revoke([A])
    ledger.assign([A])

    assert ledger.finish(entry.token, DONE) is None
    assert not ledger.has_deliverable


def test_an_answer_from_before_a_rewind_finds_nothing() -> None:
    ledger, [entry] = ledger_with(A, [0])

    assert ledger.rewind() == [A]
    [again] = ledger.admit(A, [item_at(*A, 0)])

    assert again is not None
    assert ledger.finish(entry.token, DONE) is None
    assert ledger.pending() == 1


def test_records_of_a_partition_that_is_not_ours_are_refused() -> None:
    ledger, _ = ledger_with(A, [])

    assert ledger.admit(B, [item_at(*B, 0)]) == []


def test_a_transaction_takes_no_more_entries_than_allowed() -> None:
    ledger, entries = ledger_with(A, list(range(5)))
    for entry in entries:
        ledger.finish(entry.token, DONE)

    assert ledger.prefixes(3)[0].offset == 3


def test_a_transaction_takes_entries_until_it_is_full_of_bytes_and_always_one() -> None:
    ledger, entries = ledger_with(A, list(range(5)))
    for entry in entries:
        ledger.resize(entry, 100)
        ledger.finish(entry.token, DONE)

    assert [ledger.prefixes(10, most)[0].offset for most in (1, 100, 101, 250, 500, 501)] == [1, 1, 2, 3, 5, 5]


def test_the_partition_that_filled_a_transaction_comes_last_in_the_next_one() -> None:
    ledger, entries = ledger_with(A, list(range(4)))
    ledger.assign([B])
    entries += ledger.admit(B, [item_at(*B, offset) for offset in (0, 1)])
    for entry in entries:
        ledger.resize(entry, 100)
        ledger.finish(entry.token, DONE)
    order = []
    while prefixes := ledger.prefixes(10, 200):
        order += [(prefix.partition, prefix.offset) for prefix in prefixes]
        deliver(ledger, prefixes)

    assert order == [(A, 2), (B, 2), (A, 4)]


def test_what_is_held_back_holds_up_what_is_behind_it_until_it_is_let_go() -> None:
    ledger, entries = ledger_with(A, [0, 1, 2])
    for entry in entries:
        ledger.finish(entry.token, DONE)
    ledger.hold_back([entries[1]])

    assert ledger.prefixes(10)[0].offset == 1
    deliver(ledger, ledger.prefixes(10))
    assert (ledger.prefixes(10), ledger.has_deliverable, ledger.is_held_back([A])) == ([], False, True)
    assert ledger.waiting_in(A) == (2, ledger.held_bytes)

    ledger.let_go([Position(*A, 1)])
    assert ledger.prefixes(10)[0].offset == 3


def test_what_is_held_back_of_a_revoked_partition_holds_up_nothing_when_it_comes_again() -> None:
    ledger, [entry] = ledger_with(A, [0])
    ledger.finish(entry.token, DONE)
    ledger.hold_back([entry])

    ledger.rewind()

    assert not ledger.is_held_back([A])
    ledger.mark_end(A, 1)
    assert ledger.has_deliverable


def test_pending_counts_the_items_of_the_partitions_asked_for() -> None:
    ledger, _ = ledger_with(A, [0, 1])
    ledger.assign([B])
    ledger.admit(B, [item_at(*B, 0)])

    assert ledger.pending() == 3
    assert ledger.pending([B]) == 1


steps = st.lists(
    st.one_of(
        st.tuples(st.just("admit"), st.integers(0, 1), st.integers(1, 3)),
        st.tuples(st.just("finish"), st.integers(0, 1), st.integers(0, 9)),
        st.tuples(st.just("end"), st.integers(0, 1), st.integers(0, 2)),
        st.tuples(st.just("deliver"), st.integers(0, 1), st.integers(1, 4)),
        st.tuples(st.just("revoke"), st.integers(0, 1), st.just(0)),
    ),
    max_size=60,
)


@given(steps)
def test_whatever_the_order_nothing_is_delivered_twice_or_before_what_stands_before_it(
    steps: list[tuple[str, int, int]],
) -> None:
    ledger = Ledger()
    ledger.assign([A, B])
    partitions = [A, B]
    read = {A: 0, B: 0}
    committed = {A: 0, B: 0}
    open_offsets: dict[tuple[str, int], dict[int, int]] = {A: {}, B: {}}
    for action, which, number in steps:
        partition = partitions[which]
        if action == "admit":
            offset = read[partition] + number - 1
            [entry] = ledger.admit(partition, [item_at(*partition, offset)]) or [None]
            assert entry is not None
            open_offsets[partition][offset] = entry.token
            read[partition] = offset + 1
        elif action == "finish" and open_offsets[partition]:
            offset = sorted(open_offsets[partition])[number % len(open_offsets[partition])]
            ledger.finish(open_offsets[partition].pop(offset), DONE)
        elif action == "end":
            read[partition] += number
            ledger.mark_end(partition, read[partition])
        elif action == "deliver":
            prefixes = ledger.prefixes(number)
            for prefix in prefixes:
                assert prefix.offset >= committed[prefix.partition]
                assert all(offset >= prefix.offset for offset in open_offsets[prefix.partition])
                committed[prefix.partition] = prefix.offset
            deliver(ledger, prefixes)
        elif action == "revoke":
            ledger.revoke([partition])
            ledger.assign([partition])
            read[partition] = committed[partition]
            open_offsets[partition] = {}
    for tokens in open_offsets.values():
        for token in tokens.values():
            ledger.finish(token, DONE)
    deliver(ledger, ledger.prefixes(10_000))
    assert (ledger.held, ledger.held_bytes, ledger.pending()) == (0, 0, 0)
