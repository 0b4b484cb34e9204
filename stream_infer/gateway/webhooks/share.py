"""Partitions of `{p}.status` that are ours: the ends of jobs that were read there, and the deliveries of their jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from stream_infer.gateway.webhooks.under_way import UnderWay
from stream_infer.jobs.deliveries import Delivery, Token
from stream_infer.jobs.status import JobStatus, decode_status
from stream_infer.kafka.consumer import Partition
from stream_infer.kafka.messages import Polled
from stream_infer.records import EndOfPartition, Message

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Share:
    """`position` is behind what was read; None until that is known. Once `is_loaded`, `pending` are the deliveries that
    are to be sent, and `ended` has of the others, by their keys, the wish that each was told for last: all as they were
    last committed. Whole, those of 100,000 jobs are in memory once, on the board.
    """

    partition: Partition
    position: int | None = None
    committed: int | None = None
    is_loaded: bool = False
    pending: dict[str, Delivery] = field(default_factory=dict)
    ended: dict[str, Token | None] = field(default_factory=dict)
    ends: list[JobStatus] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)

    @property
    def number(self) -> int:
        return self.partition[1]

    @property
    def is_ready(self) -> bool:
        return self.is_loaded and self.position is not None

    @property
    def has_news(self) -> bool:
        return self.is_ready and bool(self.ends or self.forgotten)

    @property
    def has_moved(self) -> bool:
        return self.is_ready and self.position != self.committed

    def see(self, record: Polled) -> None:
        """What was read next; a row that nobody can read says nothing."""
        if isinstance(record, EndOfPartition):
            self.position = max(self.position or 0, record.offset)
            return
        self.position = record.offset + 1
        if record.value is None:
            job_id = (record.key or b"").decode(errors="replace")
            self.forgotten.append(job_id)
            self.ends = [end for end in self.ends if end.job_id != job_id]
        elif (status := _status(record)) is not None and status.state.is_final:
            self.ends.append(status)

    def load(self, deliveries: Iterable[Delivery]) -> None:
        """All that there are."""
        for delivery in deliveries:
            self._keep(delivery)
        self.is_loaded = True

    def knows(self, key: str) -> bool:
        return key in self.pending or key in self.ended

    def wish_of(self, key: str) -> Token | None:
        """That which the delivery, a known one, was told for last."""
        delivery = self.pending.get(key)
        return self.ended[key] if delivery is None else delivery.wish

    def note(self, changes: Mapping[str, Delivery | None]) -> None:
        """They were committed, by their keys, and that all is seen up to `position`."""
        for key, delivery in changes.items():
            self.pending.pop(key, None)
            self.ended.pop(key, None)
            if delivery is not None:
                self._keep(delivery)
        self.committed = self.position
        self.ends.clear()
        self.forgotten.clear()

    def _keep(self, delivery: Delivery) -> None:
        if delivery.is_pending:
            self.pending[delivery.key] = delivery
        else:
            self.ended[delivery.key] = delivery.wish


class Owned:
    """The shares that are ours; told of each rebalance on the polling thread, inside `poll`."""

    def __init__(self, under_way: UnderWay) -> None:
        self.shares: dict[Partition, Share] = {}
        self.rewinding: set[Partition] = set()
        self._under_way = under_way

    @property
    def ready(self) -> list[Share]:
        return [share for share in self.shares.values() if share.is_ready]

    def assigned(self, partitions: Sequence[Partition]) -> None:
        self.shares |= {partition: Share(partition) for partition in partitions}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """An attempt that is under way is lost on us: whoever has the share next makes it again."""
        for partition in partitions:
            self.shares.pop(partition, None)
            self.rewinding.discard(partition)
        self._under_way.give_up({number for _, number in partitions})

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.revoked(partitions)

    def rewind(self) -> None:
        """Forgets what was read and is not committed; what is under way goes on."""
        self.rewinding = set(self.shares)
        self.shares = {partition: Share(partition) for partition in self.shares}


def _status(message: Message) -> JobStatus | None:
    try:
        status = decode_status(message.value or b"")
        if status.job_id.encode() != message.key:
            raise ValueError(f"it speaks of {status.job_id!r}")
        return status
    except ValueError as error:
        _log.warning("status_unreadable", topic=message.topic, offset=message.offset, error=str(error))
        return None
