"""The records of results that are what they nearly always are: small enough, of an item that succeeded.

Some hundred thousand are made a second, so what all results of a job have alike is made once a transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from operator import add

from stream_infer.headers import Header, own_headers, shared_headers, size_of_headers
from stream_infer.records import JSON, Outgoing, OutgoingRecord, Output, new_tuple
from stream_infer.worker.held import Entry, Stretch

_ITEM_ID = Header.ITEM_ID.value
_NONE = Output(None)
# The names of a result's own headers: item and custom id, source, traceparent.
_OWN_NAMES = 64


class _Alike:
    """What the results of one job have in common, and how many there are."""

    def __init__(self, content_type: str, job_id: str | None, generation: int, format_: str | None) -> None:
        self.headers = shared_headers(content_type, job_id, generation, format_)
        self.size = size_of_headers(self.headers) + _OWN_NAMES
        self.count = 0


class OrdinaryResults:
    """Those of one transaction. `max_bytes` of value, key and headers fit into a record of `topic`.

    `format_of` says how the results of a job are to lie in the store, None: as usual.
    """

    def __init__(
        self, topic: str, max_bytes: int, format_of: Callable[[str | None], str | None] = lambda _: None
    ) -> None:
        self._topic = topic
        self._format_of = format_of
        self._most = max_bytes
        self._alike: dict[tuple[str, str | None, int], _Alike] = {}

    def records(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, OutgoingRecord | None]]:
        """Each entry with its result, counted, or with None where it is anything else."""
        topic, most = self._topic, self._most
        last: tuple[str, str | None, int] | None = None
        alike = _Alike(JSON, None, 1, None)
        for entry in entries:
            ended, item = entry.ended, entry.item
            value, content_type = ended if type(ended) is Output else _NONE
            if value is None or item is None:
                yield entry, None
                continue
            message, item_id, _, job_id, generation, custom_id, source, traceparent = item[:8]
            kind = (content_type, None if entry.jobless else job_id, generation)
            if kind != last:
                last, alike = kind, self._alike_of(kind)
            own: tuple[tuple[str, bytes], ...] = ((_ITEM_ID, item_id.encode()),)
            if custom_id is not None or source is not None or traceparent is not None:
                own = own_headers(item)
            key = message.key
            size = len(value) + alike.size + (0 if key is None else len(key))
            for _, data in own:
                size += len(data)
            if size > most:
                yield entry, None
                continue
            alike.count += 1
            yield entry, new_tuple(OutgoingRecord, (topic, key, value, alike.headers + own, None))

    def stretch(self, stretch: Stretch) -> Iterator[Outgoing]:
        """All its results, counted; they are known to fit.

        Measured: as OutgoingRecords they took a twentieth of the worker's main thread.
        """
        kind = (stretch.content_type, stretch.alike.job_id, 1)
        alike = self._alike_of(kind)
        alike.count += stretch.length
        headers = map(add, repeat(alike.headers), stretch.alike.own)
        columns = (repeat(self._topic), stretch.run.keys, stretch.outputs, headers, repeat(None))
        return zip(*columns, strict=False)

    def _alike_of(self, kind: tuple[str, str | None, int]) -> _Alike:
        alike = self._alike.get(kind)
        if alike is None:
            alike = self._alike[kind] = _Alike(*kind, self._format_of(kind[1]))
        return alike

    @property
    def count(self) -> int:
        """How many there were, of jobs and of none."""
        return sum(alike.count for alike in self._alike.values())

    def counts(self) -> dict[tuple[str, int], int]:
        """How many there were of each job and generation."""
        counts: dict[tuple[str, int], int] = {}
        for (_, job_id, generation), alike in self._alike.items():
            if job_id is not None and alike.count:
                counts[job_id, generation] = counts.get((job_id, generation), 0) + alike.count
        return counts
