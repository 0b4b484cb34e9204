"""Webhooks that are being sent: how many at a time, in all and to one host, and how they were answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from stream_infer.ports import Posted

AT_A_TIME = 64
# A host that does not answer has each of them for webhooks.timeout: it may not have all that there are.
OF_A_HOST = 8


@dataclass(frozen=True, slots=True)
class Sending:
    """An attempt at the delivery of that key, whose job lies in that partition.

    Its `answer` is None where there was nobody to send it to.
    """

    key: str
    partition: int
    host: str
    answer: Future[Posted | None]


@dataclass(slots=True)
class UnderWay:
    _sendings: dict[str, Sending] = field(default_factory=dict)
    _hosts: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self._sendings)

    def __contains__(self, key: str) -> bool:
        return key in self._sendings

    def has_room(self, host: str) -> bool:
        return len(self._sendings) < AT_A_TIME and self._hosts[host] < OF_A_HOST

    def add(self, sending: Sending) -> None:
        assert sending.key not in self._sendings, "one attempt at a time"
        self._sendings[sending.key] = sending
        self._hosts[sending.host] += 1

    @property
    def has_answers(self) -> bool:
        return any(sending.answer.done() for sending in self._sendings.values())

    @property
    def has_waiting(self) -> bool:
        return any(not sending.answer.done() for sending in self._sendings.values())

    def answered(self, partition: int) -> Sequence[Sending]:
        return [one for one in self._sendings.values() if one.partition == partition and one.answer.done()]

    def remove(self, sending: Sending) -> None:
        """Its answer has been noted."""
        if self._sendings.get(sending.key) is sending:
            del self._sendings[sending.key]
            self._hosts[sending.host] -= 1

    def give_up(self, partitions: Collection[int]) -> None:
        """Somebody else sends them: nothing that is answered to us counts any more."""
        for sending in [one for one in self._sendings.values() if one.partition in partitions]:
            sending.answer.cancel()
            self.remove(sending)
