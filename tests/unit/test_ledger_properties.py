"""Ledger and waiting room beside a naive model of them: lists, searched from one end to the other at every question.

Topics are logs with markers in them, and what was committed is remembered outside, as the broker does; so that a record
that is passed over, or done twice, shows wherever it comes from.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stream_infer.alike import read_alike
from stream_infer.engine.task import AlikeAnswers
from stream_infer.errors import Stage
from stream_infer.headers import item_headers
from stream_infer.jobs.events import HookEnded
from stream_infer.records import JSON, Control, Failure, Output, Position, Run
from stream_infer.worker.held import NOTHING, SKIPPED, Entry, Part, Prefix, Stretch
from stream_infer.worker.ledger import Ledger
from stream_infer.worker.retry import Retried
from stream_infer.worker.waiting import Waiting
from tests.support.items import item_at

PARTITIONS = (("items", 0), ("items", 1), ("retry", 0))
PREDICTED = Failure(Stage.PREDICT, "E", "of the predictor")
FETCHED = Failure(Stage.FETCH, "E", "of the fetch", final=True)
ENDS = (Output(b"1"), Output(None), SKIPPED, NOTHING, HookEnded(job_id="j", at=1.0), FETCHED)
WHICH = st.integers(0, 30)


@dataclass
class Log:
    """A partition in Kafka. `records` are the offsets that are not taken by markers."""

    records: list[int] = field(default_factory=list)
    end: int = 0
    committed: int = 0
    read: int = 0
    delivered: list[int] = field(default_factory=list)
    ours: bool = False


@dataclass
class Held:
    """What the model remembers of an entry: where it waits (None: somebody works on it), and how it ended."""

    ledger: Ledger
    token: int
    own: Entry | None  # None: it is in a stretch, as far as the model knows
    partition: tuple[str, int]
    offset: int
    size: int
    is_item: bool
    waits: str | None = None
    until: float = math.inf
    ended: object = None
    failure: Failure | None = None
    is_held_back: bool = False
    is_under_way: bool = False

    @property
    def parked(self) -> bool:
        return self.waits is not None

    @property
    def entry(self) -> Entry:
        """Of one that has not ended; whoever asks takes it out of its stretch."""
        self.own = self.own or self.ledger.get(self.token)
        assert self.own is not None
        return self.own


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.waiting = Waiting(self.ledger)
        self.logs = {partition: Log() for partition in PARTITIONS}
        self.held: list[Held] = []  # in the order of reading, ends of partitions left out
        self.lost: list[int] = []  # tokens whose partition was taken, or rewound
        self.under_way: list[Prefix] = []  # what a transaction is delivering
        self.now = 0.0

    @initialize(
        runs=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5), st.integers(0, 2)), min_size=3, max_size=8)
    )
    def begin(self, runs: list[tuple[int, int, int]]) -> None:
        for which, records, markers in runs:
            self.produce(which, records, markers)
        self.assign({0, 1, 2})

    # What lies in Kafka, and what is read of it.

    @rule(which=st.integers(0, 2), records=st.integers(1, 5), markers=st.integers(0, 2))
    def produce(self, which: int, records: int, markers: int) -> None:
        log = self.logs[PARTITIONS[which]]
        log.records += range(log.end, log.end + records)
        log.end += records + markers

    @rule(
        which=st.integers(0, 2),
        most=st.integers(1, 4),
        size=st.integers(0, 5),
        job=st.sampled_from([None, "j", "k"]),
        alike=st.booleans(),
    )
    def read(self, which: int, most: int, size: int, job: str | None, alike: bool = False) -> None:
        """As one poll hands it out: records, then the partition's end, which may be one that was overtaken."""
        partition = PARTITIONS[which]
        log = self.logs[partition]
        offsets = [offset for offset in log.records if offset >= log.read][:most]
        ends = [log.read, *[offset + 1 for offset in offsets]]
        log.read = ends[-1]
        if alike and offsets:
            self._admit_alike(partition, offsets, size)
        else:
            for offset in offsets:
                self._admit(partition, offset, size, job)
        if not any(offset >= log.read for offset in log.records):
            log.read = log.end
            ends = [*ends[1:], log.end]
            if log.ours:
                self.ledger.mark_end(partition, log.end if size % 2 else ends[size % len(ends)])

    def _admit(self, partition: tuple[str, int], offset: int, size: int, job: str | None) -> None:
        control = Control.ON_JOB_COMPLETE if job == "k" else None
        headers = item_headers(job_id=job, control=control, deadline=self.now + 4 if size > 3 else None)
        [entry] = self.ledger.admit(partition, [item_at(*partition, offset, b"." * size, headers)]) or [None]
        assert (entry is not None) == self.logs[partition].ours
        if entry is not None:
            self._hold(entry.token, entry, partition, offset, size, is_item=control is None)

    def _admit_alike(self, partition: tuple[str, int], offsets: list[int], size: int) -> None:
        run = Run.of([item_at(*partition, offset, b"." * size).message for offset in offsets])
        alike = read_alike(run)
        assert alike is not None
        stretch = self.ledger.admit_alike(run, alike)
        assert (stretch is not None) == self.logs[partition].ours
        if stretch is not None:
            for token, offset in enumerate(offsets, stretch.first):
                self._hold(token, None, partition, offset, size, is_item=True)

    def _hold(
        self, token: int, own: Entry | None, partition: tuple[str, int], offset: int, size: int, *, is_item: bool
    ) -> None:
        assert token not in [held.token for held in self.held]
        assert token not in self.lost
        self.held.append(Held(self.ledger, token, own, partition, offset, size, is_item))

    @rule(
        which=st.integers(0, 2),
        size=st.integers(0, 5),
        waits=st.lists(st.tuples(WHICH, st.sampled_from([None, 0.0, 1.0, 3.0])), max_size=3),
        ends=st.lists(st.tuples(WHICH, st.sampled_from(ENDS), st.booleans()), max_size=4),
        most=st.integers(0, 6),
        trips=st.booleans(),
    )
    def a_turn_of_the_loop(
        self, which: int, size: int, waits: list[Any], ends: list[Any], most: int, *, trips: bool
    ) -> None:
        """All of it in one step, or nothing would get far."""
        self.time_passes(1.0 if most % 2 else 0.0)
        self.the_predictor_serves(most)
        self.read(which, 4, size, "j" if size > 2 else None, alike=most != 2)
        if most > 1:
            self._succeed_alike(which + 1, JSON, size % 2)
        if most % 2:
            self.a_commit_is_due()
        for number, seconds in waits:
            if self._working():
                self._let_wait(self._one(self._working(), number), seconds)
        for number, end, failed in ends:
            if self._working():
                self._finish(self._one(self._working(), number), PREDICTED if failed else end, failed=failed)
        if trips:
            self.the_breaker_trips()
        if most == 3:
            self._hold_back(which)
        if most == 6:
            self.let_go(2)
        if most:
            self.transact(most, commits=True)

    # What becomes of what is held.

    @precondition(lambda self: self._working())
    @rule(which=WHICH, end=st.sampled_from(ENDS))
    def finish(self, which: int, end: object) -> None:
        self._finish(self._one(self._working(), which), end)

    @precondition(lambda self: self._working())
    @rule(count=st.integers(1, 6), end=st.sampled_from(ENDS), failed=st.booleans())
    def finish_the_oldest(self, count: int, end: object, failed: bool) -> None:
        for held in self._working()[:count]:
            self._finish(held, PREDICTED if failed else end, failed=failed)

    @precondition(lambda self: self._working())
    @rule(which=WHICH, retried=st.booleans())
    def fail_in_the_predictor(self, which: int, retried: bool) -> None:
        self._finish(self._one(self._working(), which), Retried(1, 2, 0.0) if retried else PREDICTED, failed=True)

    @precondition(lambda self: self._working())
    @rule(count=st.integers(1, 8), kind=st.sampled_from([JSON, JSON, "text/plain"]), skips=st.integers(0, 3))
    def succeed_alike(self, count: int, kind: str, skips: int) -> None:
        self._succeed_alike(count, kind, skips)

    def _succeed_alike(self, count: int, kind: str, skips: int) -> None:
        """As a micro-batch is answered; what is in no stretch any more is answered one by one."""
        some = sorted(self._working(), key=lambda held: (held.own is not None, held.token))[skips : skips + count]
        values = [b"%d" % held.token for held in some]
        _, others = self.ledger.succeed_alike(AlikeAnswers([held.token for held in some], values, kind))
        left = {answer.token for answer in others}
        for held, value in zip(some, values, strict=True):
            if held.token in left:
                self._finish(held, Output(value, kind))
            else:
                assert held.own is None or held.own.token != held.token
                held.ended, held.size = Output(value, kind), len(value)

    @rule()
    def a_commit_is_due(self) -> None:
        self.ledger.cut_stretches()
        fronts = [next((held for held in self._in(partition)), None) for partition in PARTITIONS]
        if not self.under_way and any(held and held.ended and not held.is_held_back for held in fronts):
            assert self.ledger.prefixes(1), "the first item of a partition can be delivered as soon as it has ended"

    def _finish(self, held: Held, end: object, *, failed: bool = False) -> None:
        held.entry.failure = held.failure = PREDICTED if failed else held.failure
        assert self.ledger.finish(held.token, end) is held.entry
        held.ended = end
        assert self.ledger.finish(held.token, SKIPPED) is None, "nothing ends twice"

    @precondition(lambda self: self._working())
    @rule(which=WHICH, size=st.integers(0, 9))
    def resize(self, which: int, size: int) -> None:
        held = self._one(self._working(), which)
        self.ledger.resize(held.entry, size)
        held.size = size

    @precondition(lambda self: self._working())
    @rule(which=WHICH, count=st.integers(1, 3), seconds=st.sampled_from([None, None, 0.0, 1.0, 3.0]))
    def let_wait(self, which: int, count: int, seconds: float | None) -> None:
        for _ in range(min(count, len(self._working()))):
            self._let_wait(self._one(self._working(), which), seconds)

    def _let_wait(self, held: Held, seconds: float | None) -> None:
        if seconds is None:
            self.waiting.for_predictor(held.entry)
            deadline = held.entry.item.deadline if held.entry.item else None
            held.waits, held.until = "predictor", math.inf if deadline is None else deadline
        else:
            self.waiting.until(held.entry, self.now + seconds)
            held.waits, held.until = "time", self.now + seconds

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        due = {held.token for held in self.held if held.parked and held.until <= self.now}
        early = {held.token for held in self.held if held.parked} - due
        released = self._released(self.waiting.due(self.now))
        assert due <= released
        # One that has waited before may be let go by its former time: it is judged anew, and waits again.
        assert not (released - due - early)
        assert self.waiting.next_time() > self.now

    @rule(job=st.sampled_from(["j", "k", "nobody's"]))
    def a_job_ends(self, job: str) -> None:
        expected = {held.token for held in self.held if held.parked and held.entry.item.job_id == job}
        assert self._released(self.waiting.of_jobs({job})) == expected

    @precondition(lambda self: self.held)
    @rule(which=WHICH)
    def the_way_is_cleared(self, which: int) -> None:
        held = self._one(self.held, which)
        expected = {
            other.token
            for other in self.held
            if other.parked and other.partition == held.partition and other.offset < held.offset
        }
        assert self._released(self.waiting.before(held.partition, held.token)) == expected

    @rule(count=st.integers(0, 3))
    def the_predictor_serves(self, count: int) -> None:
        waiting = self.waiting.those_for_predictor()
        assert [entry.token for entry in waiting] == [
            token
            for token in [entry.token for entry in waiting]
            if any(held.token == token and held.waits == "predictor" for held in self.held)
        ]
        assert len(waiting) == sum(held.waits == "predictor" for held in self.held)
        some = waiting[:count]
        assert self._released(self.waiting.release(some)) == {entry.token for entry in some}
        assert self.waiting.release(some) == [], "let go already"

    @rule()
    def the_breaker_trips(self) -> None:
        """What a transaction is delivering has ended, whatever it was."""
        expected = [
            held
            for held in self.held
            if held.failure is not None and isinstance(held.ended, Failure | Retried) and not held.is_under_way
        ]
        reopened = self.ledger.reopen_failed()
        assert {entry.token for entry in reopened} == {held.token for held in expected}
        for held in expected:
            held.ended = None
            held.is_held_back = False
            self.waiting.for_predictor(held.entry)
            deadline = held.entry.item.deadline
            held.waits, held.until = "predictor", math.inf if deadline is None else deadline

    # Transactions, and what cannot be part of one yet.

    @rule(which=WHICH)
    def hold_back(self, which: int) -> None:
        self._hold_back(which)

    def _hold_back(self, which: int) -> None:
        ended = [held for held in self.held if held.ended is not None and not held.is_under_way and held.own]
        if ended:
            held = self._one(ended, which)
            self.ledger.hold_back([held.entry])
            held.is_held_back = True

    @rule(count=st.integers(1, 3))
    def let_go(self, count: int) -> None:
        some = [held for held in self.held if held.is_held_back][:count]
        self.ledger.let_go([Position(*held.partition, held.offset) for held in some])
        for held in some:
            held.is_held_back = False

    @rule(most=st.integers(1, 6), commits=st.sampled_from([True, True, True, False]))
    def transact(self, most: int, commits: bool) -> None:
        self.end_transaction(commits)
        self.begin_transaction(most)
        self.end_transaction(commits)

    @precondition(lambda self: not self.under_way)
    @rule(most=st.integers(1, 6))
    def begin_transaction(self, most: int) -> None:
        prefixes = self.ledger.prefixes(most)
        assert sum(prefix.length - prefix.parts[-1].length for prefix in prefixes) < most, "stretches are taken whole"
        assert self.ledger.has_deliverable or not prefixes
        assert len({prefix.partition for prefix in prefixes}) == len(prefixes)
        assert self.ledger.prefixes(most) == prefixes
        self.ledger.begin_delivery(prefixes)
        self.under_way = prefixes
        delivered = {(prefix.partition, offset) for prefix in prefixes for offset, _ in items_of(prefix.parts)}
        for held in self.held:
            held.is_under_way = (held.partition, held.offset) in delivered

    @rule(commits=st.sampled_from([True, True, True, False]))
    def end_transaction(self, commits: bool) -> None:
        """What one that was aborted would have delivered is offered again, before what has ended since."""
        prefixes, self.under_way = self.under_way, []
        if commits:
            for prefix in prefixes:
                self._committed(prefix.partition, prefix.offset, prefix.parts)
            self.ledger.delivered(prefixes)
        else:
            self.ledger.deliver_again(prefixes)
            again = {prefix.partition: prefix.parts for prefix in self.ledger.prefixes(10_000)}
            for prefix in prefixes:
                assert again[prefix.partition][: len(prefix.parts)] == prefix.parts
        for held in self.held:
            held.is_under_way = False

    def _committed(self, partition: tuple[str, int], offset: int, parts: Sequence[Part]) -> None:
        log = self.logs[partition]
        assert log.ours
        assert log.committed <= offset <= log.end, "never back, and not beyond what there is"
        assert not [held for held in self._in(partition) if held.ended is None and held.offset < offset]
        gone = [held for held in self._in(partition) if held.offset < offset]
        assert not [held for held in gone if held.is_held_back]
        assert items_of(parts) == [(held.offset, held.ended) for held in gone]
        log.delivered += [held.offset for held in gone]
        log.committed = offset
        assert log.delivered == [one for one in log.records if one < offset], "each once, none passed over"
        self.held = [held for held in self.held if held not in gone]

    @rule()
    def the_producer_is_fenced(self) -> None:
        self.end_transaction(commits=False)
        assert sorted(self.ledger.rewind()) == sorted(partition for partition, log in self.logs.items() if log.ours)
        self._forget([partition for partition, log in self.logs.items() if log.ours])

    # What the group does.

    @rule(which=st.sets(st.integers(0, 2), min_size=1))
    def assign(self, which: set[int]) -> None:
        """What is ours already may be named again: it keeps what is held of it."""
        partitions = [PARTITIONS[number] for number in which]
        self.ledger.assign(partitions)
        for partition in partitions:
            log = self.logs[partition]
            log.read = log.read if log.ours else log.committed
            log.ours = True

    @rule(which=st.sets(st.integers(0, 2), min_size=1), commits=st.booleans())
    def revoke(self, which: set[int], commits: bool) -> None:
        """Not while a transaction is under way."""
        self.end_transaction(commits)
        partitions = [PARTITIONS[number] for number in which]
        self.ledger.revoke(partitions)
        self._forget(partitions)
        for partition in partitions:
            self.logs[partition].ours = False

    def _forget(self, partitions: list[tuple[str, int]]) -> None:
        self.waiting.forget_lost()
        self.lost += [held.token for held in self.held if held.partition in partitions]
        self.held = [held for held in self.held if held.partition not in partitions]
        for partition in partitions:
            self.logs[partition].read = self.logs[partition].committed

    # What holds at any time.

    @invariant()
    def the_sums_are_those_of_the_entries(self) -> None:
        ledger = self.ledger
        items = {held.token for held in self.held}
        marks = [part for parts in ledger._partitions.values() for part in parts if is_mark(part)]
        delivered = [part for prefix in self.under_way for part in prefix.parts if is_mark(part)]
        assert ledger.held == len(items) + len(marks) + len(delivered)
        assert ledger.held_bytes == sum(held.size for held in self.held)
        assert ledger.pending() == sum(held.ended is None for held in self.held)
        assert ledger.in_work == len(self._working())
        assert ledger.in_work >= 0
        for partition in PARTITIONS:
            mine = self._in(partition)
            undone = {held.token for held in mine if held.ended is None}
            assert (ledger.pending([partition]), ledger.open_tokens([partition])) == (len(undone), undone)
            holds_back = any(held.is_held_back for held in mine)
            assert ledger.is_held_back([partition]) == holds_back
            waiting = [held.size for held in mine if held.parked or (holds_back and not held.is_under_way)]
            waiting += [0 for entry in marks if holds_back and entry in ledger._partitions.get(partition, ())]
            assert ledger.waiting_in(partition) == (len(waiting), sum(waiting))

    @invariant()
    def only_what_is_held_and_has_not_ended_is_found(self) -> None:
        for held in self.held:
            undone = held.ended is None
            if held.own or not undone:
                assert self.ledger.get(held.token) is (held.own if undone else None)
            place = {held.partition: [held.offset]} if undone and held.is_item else {}
            assert self.ledger.offsets_of([held.token]) == place
        for token in self.lost[-5:]:
            assert self.ledger.get(token) is None
            assert self.ledger.finish(token, SKIPPED) is None

    @invariant()
    def who_waits_will_be_called(self) -> None:
        first = min((held.until for held in self.held if held.parked), default=math.inf)
        assert self.waiting.next_time() <= first

    def teardown(self) -> None:
        """All of it is read, ended and committed; then nothing is left, here or in the logs."""
        self.assign({0, 1, 2})
        for log, number in zip(self.logs.values(), range(3), strict=True):
            while log.read < log.end:
                self.read(number, 4, 1, None)
            self.ledger.mark_end(PARTITIONS[number], log.end)
        self._released(self.waiting.release([held.entry for held in self.held if held.parked]))
        for held in self._working():
            self._finish(held, SKIPPED)
        self.let_go(10_000)
        self.transact(10_000, commits=True)
        for log in self.logs.values():
            assert (log.committed, log.delivered) == (log.end, log.records)
        self.revoke({0, 1, 2}, commits=True)
        ledger = self.ledger
        assert (ledger.held, ledger.held_bytes, ledger.pending(), ledger.in_work, ledger._parked) == (0, 0, 0, 0, 0)
        assert not ledger.partitions() and not ledger._open
        assert not self.waiting._entries and not self.waiting._for_predictor
        assert self.waiting.next_time() == math.inf

    # The naive model's questions.

    def _working(self) -> list[Held]:
        return [held for held in self.held if held.ended is None and not held.parked]

    def _in(self, partition: tuple[str, int]) -> list[Held]:
        return [held for held in self.held if held.partition == partition]

    @staticmethod
    def _one(some: list[Held], which: int) -> Held:
        return some[which % len(some)]

    def _released(self, entries: list[Entry]) -> set[int]:
        tokens = {entry.token for entry in entries}
        assert len(tokens) == len(entries)
        for held in self.held:
            if held.token in tokens:
                assert held.parked
                held.waits, held.until = None, math.inf
        return tokens


def is_mark(part: Part) -> bool:
    return isinstance(part, Entry) and part.item is None


def items_of(parts: Sequence[Part]) -> list[tuple[int, object]]:
    """The offset of each item in them, and how it ended."""
    found: list[tuple[int, object]] = []
    for part in parts:
        if isinstance(part, Stretch):
            outputs = [None if value is None else Output(value, part.content_type) for value in part.outputs]
            found += zip(part.run.offsets, outputs, strict=True)
        elif part.item is not None:
            found.append((part.item.message.offset, part.ended))
    return found


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=100, stateful_step_count=40)
