"""The records of results that are what they nearly always are: small enough, of an item that succeeded.

Some hundred thousand are made a second, so what all results of a job have alike is made once a transaction.
"""

from __future__ import annotations

from stream_infer.headers import own_headers, shared_headers
from stream_infer.records import Headers, OutgoingRecord, Output, new_tuple
from stream_infer.worker.ledger import Entry

# The names of a result's own headers: item and custom id, source, traceparent.
_OWN_NAMES = 64


class _Alike:
    """What the results of one job have in common, and how many there are."""

    def __init__(self, content_type: str, job_id: str | None, generation: int) -> None:
        self.headers = shared_headers(content_type, job_id, generation)
        self.size = size_of_headers(self.headers) + _OWN_NAMES
        self.count = 0


class OrdinaryResults:
    """Those of one transaction. `max_bytes` of value, key and headers fit into a record of `topic`."""

    def __init__(self, topic: str, max_bytes: int) -> None:
        self._topic = topic
        self._most = max_bytes
        self._alike: dict[tuple[str, str | None, int], _Alike] = {}

    def record(self, entry: Entry) -> OutgoingRecord | None:
        """The entry's result, counted, or None where it is anything else."""
        ended, item = entry.ended, entry.item
        if type(ended) is not Output or item is None:
            return None
        value, content_type = ended
        if value is None:
            return None
        kind = (content_type, None if entry.jobless else item.job_id, item.generation)
        alike = self._alike.get(kind)
        if alike is None:
            alike = self._alike[kind] = _Alike(*kind)
        own = own_headers(item)
        key = item.message.key
        size = len(value) + alike.size
        for _, data in own:
            size += len(data)
        if key is not None:
            size += len(key)
        if size > self._most:
            return None
        alike.count += 1
        return new_tuple(OutgoingRecord, (self._topic, key, value, alike.headers + own, None))

    def counts(self) -> dict[tuple[str, int], int]:
        """How many there were of each job and generation."""
        counts: dict[tuple[str, int], int] = {}
        for (_, job_id, generation), alike in self._alike.items():
            if job_id is not None and alike.count:
                counts[job_id, generation] = counts.get((job_id, generation), 0) + alike.count
        return counts


def size_of_headers(headers: Headers) -> int:
    return sum([len(name) + len(value or b"") for name, value in headers])
