"""Which items have not ended: the entry or the stretch of each token. Tokens are given in the order of reading."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import NamedTuple

from stream_infer.worker.held import Entry, Part, Partition, Stretch


class Span(NamedTuple):
    """Tokens, from the one `at` so many-th place of those asked for, that are in `part` from `start` to `end`."""

    at: int
    part: Part
    start: int
    end: int


class OpenItems:
    """Entries that have not ended, and stretches of which something has not."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._stretches: dict[int, Stretch] = {}
        self._firsts: list[int] = []
        self._in_stretches = 0

    def __len__(self) -> int:
        return len(self._entries) + self._in_stretches

    def add(self, entries: Iterable[Entry]) -> None:
        self._entries.update([(entry.token, entry) for entry in entries])

    def add_stretch(self, stretch: Stretch) -> None:
        self._stretches[stretch.first] = stretch
        insort(self._firsts, stretch.first)
        self._in_stretches += stretch.left

    def entry(self, token: int) -> Entry | None:
        return self._entries.get(token)

    def stretch(self, token: int) -> Stretch | None:
        """The one that the token is in, which may have ended itself."""
        at = bisect_right(self._firsts, token)
        stretch = self._stretches[self._firsts[at - 1]] if at else None
        return stretch if stretch is not None and token < stretch.first + stretch.length else None

    def stretches(self) -> list[Stretch]:
        return list(self._stretches.values())

    def of_jobs(self, job_ids: Container[str]) -> set[int]:
        """The tokens of what names one of these jobs; of a stretch also those that have ended."""
        tokens = {token for token, entry in self._entries.items() if entry.item and entry.item.job_id in job_ids}
        for stretch in self._stretches.values():
            if stretch.alike.job_id in job_ids:
                tokens.update(range(stretch.first, stretch.first + stretch.length))
        return tokens

    def close(self, token: int) -> None:
        """Of an entry."""
        self._entries.pop(token, None)

    def ended_in_stretch(self, count: int) -> None:
        self._in_stretches -= count

    def close_stretch(self, stretch: Stretch) -> None:
        """Its tokens find nothing in it any more."""
        if self._stretches.pop(stretch.first, None) is not None:
            del self._firsts[bisect_left(self._firsts, stretch.first)]
            self._in_stretches -= stretch.left

    def spans(self, tokens: Sequence[int]) -> Iterator[Span]:
        """Where these tokens are, in their order; those that are nowhere are passed over."""
        at = 0
        while at < len(tokens):
            token = tokens[at]
            entry = self._entries.get(token)
            stretch = self.stretch(token) if entry is None else None
            length = 1
            if entry is not None:
                yield Span(at, entry, 0, 1)
            elif stretch is not None:
                start = token - stretch.first
                longest = min(stretch.length - start, len(tokens) - at)
                if list(tokens[at : at + longest]) == list(range(token, token + longest)):
                    length = longest
                yield Span(at, stretch, start, start + length)
            at += length

    def offsets_of(self, tokens: Sequence[int]) -> dict[Partition, list[int]]:
        """Where the items of these tokens lie; what is no item, or not held any more, is left out."""
        offsets: dict[Partition, list[int]] = {}
        for _, part, start, end in self.spans(tokens):
            if isinstance(part, Stretch):
                offsets.setdefault(part.partition, []).extend(part.run.offsets[start:end])
            elif part.item is not None and part.item.control is None:
                message = part.item.message
                offsets.setdefault(message[:2], []).append(message.offset)
        return offsets

    def jobs_of(self, tokens: Sequence[int]) -> frozenset[str]:
        """The jobs that the items of these tokens name."""
        parts = [part for _, part, _, _ in self.spans(tokens)]
        said = [part.alike.job_id if isinstance(part, Stretch) else part.item and part.item.job_id for part in parts]
        return frozenset([job_id for job_id in said if job_id])

    def traceparents_of(self, tokens: Sequence[int]) -> set[str | bytes]:
        """On whose behalf the items of these tokens are there, as they say it."""
        found: set[str | bytes] = set()
        for _, part, start, end in self.spans(tokens):
            if isinstance(part, Stretch):
                found |= part.alike.traceparents(start, end)
            elif part.item is not None and part.item.traceparent is not None:
                found.add(part.item.traceparent)
        return found
