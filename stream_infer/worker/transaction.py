"""What one transaction writes, as it grows: the records of ended items in their order, and what they add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted, Event, HookEnded
from stream_infer.records import Failure, Outgoing, OutgoingRecord, Output
from stream_infer.worker.delivery import Delivery
from stream_infer.worker.held import Ended, Entry, Part, Partition, Prefix, Skipped, Stretch
from stream_infer.worker.observer import Ends, ends_of
from stream_infer.worker.payloads import OnItsWay
from stream_infer.worker.retry import Retried


@dataclass(frozen=True, slots=True)
class Addition:
    """What has come to a transaction: the records of the items of `prefixes`.

    `waiting` has ended, too, and its payload has to be in the store first: nothing behind it is in `prefixes`.
    """

    prefixes: list[Prefix] = field(default_factory=list)
    records: list[Outgoing] = field(default_factory=list)
    waiting: list[Entry] = field(default_factory=list)


class Transaction:
    """The items whose records it writes, and whose offsets it commits. `size` is what they hold, in bytes.

    `began`: in seconds of a clock that never goes back.
    """

    def __init__(self, delivery: Delivery, began: float = 0.0) -> None:
        self.began = began
        self._delivery = delivery
        self._results = delivery.results()
        self._parts: dict[Partition, list[Part]] = {}
        self._deltas: Counter[tuple[str, int, str]] = Counter()
        self._hooks: list[Event] = []
        self._others: list[Ended] = []
        self.length = 0
        self.size = 0

    @property
    def prefixes(self) -> list[Prefix]:
        """All that has been added, one of each partition."""
        return [Prefix(partition, parts) for partition, parts in self._parts.items()]

    def add(self, prefixes: Iterable[Prefix]) -> Addition:
        """Results, dead letters and retries in the order of their items.

        Where it raises nothing has come to it, but it may count what it does not write: it is not to be committed.
        """
        added = Addition()
        for prefix in prefixes:
            ready = self._write(prefix, added)
            if ready.parts:
                added.prefixes.append(ready)
        for ready in added.prefixes:
            self._parts.setdefault(ready.partition, []).extend(ready.parts)
            self.length += ready.length
            self.size += ready.size
        return added

    def progress(self, now: float, said: Iterable[Event] = ()) -> list[OutgoingRecord]:
        """The count deltas of each job, and `said`: its last records. `now` in seconds since the epoch."""
        for job, succeeded in self._results.counts().items():
            self._deltas[*job, "succeeded"] += succeeded
            self._deltas[*job, "written"] += succeeded
        return [self._delivery.progress(event) for event in (*self._hooks, *counted(self._deltas, now), *said)]

    def ends(self) -> Ends:
        """How all that has been added has ended."""
        return ends_of(self._results.count, self._others)

    def _write(self, prefix: Prefix, added: Addition) -> Prefix:
        """As much of it as can be written now."""
        entries: list[Entry] = []
        for part in (*prefix.parts, None):
            if isinstance(part, Entry):
                entries.append(part)
                continue
            first = self._write_entries(entries, added.records)
            if first is not None:
                return self._cut_off(prefix, first, added.waiting)
            entries = []
            if part is not None:
                added.records.extend(self._results.stretch(part))
        return prefix

    def _write_entries(self, entries: Iterable[Entry], records: list[Outgoing]) -> Entry | None:
        """The one that cannot be written now, if there is one: nothing is, from there on."""
        for entry, result in self._results.records(entries):
            if result is not None:
                records.append(result)
                continue
            match entry.ended:
                case HookEnded() as event:
                    self._hooks.append(event)
                case Output() | Failure() | Retried() | Skipped():
                    try:
                        record = self._delivery.record(entry)
                    except OnItsWay:
                        return entry
                    if record is not None:
                        records.append(record)
                    count(self._deltas, entry)
                    if entry.ended is not None:  # it may be another end by now
                        self._others.append(entry.ended)
        return None

    def _cut_off(self, prefix: Prefix, first: Entry, waiting: list[Entry]) -> Prefix:
        """What stands before the `first` that has to wait; the payloads behind it set out meanwhile."""
        at = next(number for number, entry in enumerate(prefix.parts) if entry is first)
        waiting.append(first)
        for entry in prefix.parts[at + 1 :]:
            if isinstance(entry, Stretch):
                continue
            try:
                self._delivery.record(entry)
            except OnItsWay:
                waiting.append(entry)
        return Prefix(prefix.partition, prefix.parts[:at])


def count(deltas: Counter[tuple[str, int, str]], entry: Entry) -> None:
    """Adds one item's end to its job's deltas; a job-less item has none."""
    item = entry.item
    if item is None or item.job_id is None or entry.jobless:
        return
    job = (item.job_id, item.generation)
    match entry.ended:
        case Output(value=None):
            deltas[*job, "succeeded"] += 1
        case Output():
            deltas[*job, "succeeded"] += 1
            deltas[*job, "written"] += 1
        case Failure():
            deltas[*job, "rejected"] += 1
            deltas[*job, "written"] += 1
        case Skipped():
            deltas[*job, "skipped"] += 1


def counted(deltas: Counter[tuple[str, int, str]], now: float) -> list[Event]:
    """One event for each job and generation."""
    jobs: dict[tuple[str, int], dict[str, int]] = {}
    for (job_id, generation, name), number in deltas.items():
        jobs.setdefault((job_id, generation), {})[name] = number
    return [
        Counted(job_id=job_id, generation=generation, at=now, delta=Counts.model_validate(delta))
        for (job_id, generation), delta in jobs.items()
    ]
