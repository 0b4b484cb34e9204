"""Items that are held as one are delivered as if each were held alone."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stream_infer.alike import read_alike
from stream_infer.engine.task import AlikeAnswers
from stream_infer.records import JSON, Message, Output, Run
from stream_infer.worker.held import Entry, Prefix, Stretch
from stream_infer.worker.ledger import Ledger

PARTITION = ("p.a.items", 0)
ITEMS = 12


def ledger_of(*lengths: int) -> tuple[Ledger, list[Stretch]]:
    """Stretches one behind the other, whose items are all of one byte."""
    ledger, stretches, offset = Ledger(), [], 0
    ledger.assign([PARTITION])
    for length in lengths:
        messages = [Message(*PARTITION, offset + n, b"k", b"1", (), 0) for n in range(length)]
        offset += length
        run = Run.of(messages)
        alike = read_alike(run)
        assert alike is not None
        stretch = ledger.admit_alike(run, alike)
        assert stretch is not None
        stretches.append(stretch)
    return ledger, stretches


def outputs(prefixes: list[Prefix]) -> list[bytes | None]:
    values: list[bytes | None] = []
    for prefix in prefixes:
        for part in prefix.parts:
            ended: Any = part.outputs if isinstance(part, Stretch) else [part.ended.value]  # type: ignore[union-attr]
            values += ended
    return values


def test_a_stretch_is_delivered_once_all_of_it_has_ended() -> None:
    ledger, [stretch] = ledger_of(3)
    first = stretch.first

    assert ledger.succeed_alike(AlikeAnswers([first + 1, first + 2], [b"b", b"c"], JSON)) == ({None: 2}, [])
    assert (ledger.prefixes(10), ledger.in_work) == ([], 1)
    ledger.succeed_alike(AlikeAnswers([first], [b"a"], JSON))

    prefixes = ledger.prefixes(10)
    assert (outputs(prefixes), prefixes[0].offset, ledger.in_work) == ([b"a", b"b", b"c"], 3, 0)
    ledger.begin_delivery(prefixes)
    ledger.delivered(prefixes)
    assert (ledger.held, ledger.held_bytes, ledger.pending()) == (0, 0, 0)


def test_whoever_asks_for_one_item_gets_it_as_one_of_its_own_and_the_others_keep_their_ends() -> None:
    ledger, [stretch] = ledger_of(3)
    first = stretch.first
    ledger.succeed_alike(AlikeAnswers([first], [b"long"], JSON))

    entry = ledger.get(first + 1)

    assert isinstance(entry, Entry)
    assert entry.item is not None
    assert entry.item.message.offset == 1
    assert ledger.get(first) is None, "it has ended"
    assert outputs(ledger.prefixes(10)) == [b"long"]
    assert (ledger.pending(), ledger.held_bytes) == (2, len(b"long") + 2)


def test_when_a_commit_is_due_what_has_ended_of_a_stretch_is_cut_off_and_the_rest_goes_on_as_one() -> None:
    ledger, [stretch] = ledger_of(4)
    first = stretch.first
    ledger.succeed_alike(AlikeAnswers([first, first + 1, first + 3], [b"aa", b"b", b"d"], JSON))
    assert (ledger.has_deliverable, ledger.prefixes(10)) == (True, [])

    ledger.cut_stretches()

    [prefix] = prefixes = ledger.prefixes(10)
    assert (outputs(prefixes), prefix.offset) == ([b"aa", b"b"], 2)
    ledger.begin_delivery(prefixes)
    ledger.delivered(prefixes)
    assert (ledger.held, ledger.held_bytes, ledger.pending()) == (2, len(b"1" + b"d"), 1)
    ledger.succeed_alike(AlikeAnswers([first + 2], [b"c"], JSON))
    assert outputs(ledger.prefixes(10)) == [b"c", b"d"]


def test_outputs_of_another_type_or_too_large_to_go_unseen_are_taken_one_by_one() -> None:
    ledger, [stretch] = ledger_of(2)
    first = stretch.first
    ledger.succeed_alike(AlikeAnswers([first], [b"a"], JSON))

    _, others = ledger.succeed_alike(AlikeAnswers([first + 1], [b"b"], "text/plain"))
    assert [(answer.token, answer.outcome) for answer in others] == [(first + 1, Output(b"b", "text/plain"))]
    _, others = ledger.succeed_alike(AlikeAnswers([first + 1], [b"b" * 100_000], JSON))
    assert len(others) == 1


def test_a_partition_that_is_taken_away_leaves_nothing() -> None:
    ledger, stretches = ledger_of(2, 3)

    ledger.revoke([PARTITION])

    assert (ledger.held, ledger.held_bytes, ledger.pending(), ledger.in_work) == (0, 0, 0, 0)
    assert [ledger.get(stretch.first) for stretch in stretches] == [None, None]


STEPS = st.lists(
    st.tuples(st.sampled_from(["alike", "one", "look", "cut", "deliver", "abort"]), st.integers(0, ITEMS - 1),
              st.integers(1, 5)),
    max_size=25,
)  # fmt: skip


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), STEPS)
def test_however_they_end_all_are_delivered_once_in_their_order(
    lengths: list[int], steps: list[tuple[str, int, int]]
) -> None:
    ledger, stretches = ledger_of(*lengths)
    tokens = [token for stretch in stretches for token in range(stretch.first, stretch.first + stretch.length)]
    left = set(tokens)
    delivered: list[bytes | None] = []

    def deliver(*, commits: bool) -> None:
        prefixes = ledger.prefixes(100)
        ledger.begin_delivery(prefixes)
        if commits:
            ledger.delivered(prefixes)
            delivered.extend(outputs(prefixes))
        else:
            ledger.deliver_again(prefixes)

    def end(some: list[int]) -> None:
        answers = AlikeAnswers(some, [b"%d" % token for token in some], JSON)
        _, others = ledger.succeed_alike(answers)
        for answer in others:
            ledger.finish(answer.token, answer.outcome)
        left.difference_update(some)

    for what, at, count in steps:
        some = sorted(left)[at : at + count]
        if what == "alike" and some:
            end(some)
        elif what == "one" and some:
            assert ledger.finish(some[0], Output(b"%d" % some[0])) is not None
            left.discard(some[0])
        elif what == "look" and some:
            assert ledger.get(some[0]) is not None
        elif what == "cut":
            ledger.cut_stretches()
        elif what in ("deliver", "abort"):
            deliver(commits=what == "deliver")
        assert ledger.pending() == ledger.in_work == len(left)
        assert ledger.open_tokens([PARTITION]) == left
        assert ledger.offsets_of(sorted(left)).get(PARTITION, []) == [token - tokens[0] for token in sorted(left)]

    end(sorted(left))
    deliver(commits=True)
    assert delivered == [b"%d" % token for token in tokens]
    assert (ledger.held, ledger.held_bytes) == (0, 0)
