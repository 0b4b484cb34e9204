"""The partitions that are this sink's own, from their assignment to their revocation."""

from __future__ import annotations

from collections.abc import Container, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import structlog

from stream_infer.kafka.consumer import Partition
from stream_infer.settings import SinkSettings
from stream_infer.sink.buffers import PartitionBuffer
from stream_infer.sink.upload import Upload

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Share:
    """One owned partition. A new assignment makes a new share, so that its identity is the assignment's epoch.

    Not `is_settled`: its leftovers in the store have not been removed yet (`settling`), and nothing of it may be put.
    `is_rewinding`: what comes is thrown away until the consumer stands at the committed offset again.
    """

    partition: Partition
    buffer: PartitionBuffer = field(default_factory=PartitionBuffer)
    upload: Upload | None = None
    is_settled: bool = False
    settling: Future[None] | None = None
    is_rewinding: bool = False
    rewound: int = 0

    @property
    def bytes(self) -> int:
        return self.buffer.bytes + (self.upload.plan.bytes if self.upload is not None else 0)

    @property
    def since(self) -> float | None:
        """When the oldest of what is held came, in monotonic seconds; None: nothing is held."""
        upload = self.upload
        return self.buffer.since if upload is None or upload.since is None else upload.since

    @property
    def is_waiting(self) -> bool:
        """For the store."""
        return self.upload is not None or self.settling is not None

    def rewind(self, *, tried: bool) -> None:
        """Forgets everything that is not committed, or not known to be (`tried`: its transaction had begun)."""
        if self.upload is not None and tried:
            self.upload.forget()
        elif self.upload is not None:
            self.upload.take_back()
        self.buffer = PartitionBuffer()
        self.upload = None
        self.is_settled = False
        self.settling = None
        self.is_rewinding = True
        self.rewound += 1


class Shares:
    """All owned partitions; told of each rebalance on the polling thread, inside `poll`."""

    def __init__(self) -> None:
        self.owned: dict[Partition, Share] = {}
        self.paused: set[Partition] = set()
        self.was_assigned = False

    def assigned(self, partitions: Sequence[Partition]) -> None:
        self.was_assigned = True
        for partition in partitions:
            self.owned[partition] = Share(partition)
        if partitions:
            log.info("assigned", partitions=[f"{topic}[{number}]" for topic, number in partitions])

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """No transaction is open here, so what is not committed is simply somebody else's from now on."""
        for partition in partitions:
            self.paused.discard(partition)
            share = self.owned.pop(partition, None)
            if share is not None and share.upload is not None:
                share.upload.take_back()
        if partitions:
            log.info("revoked", partitions=[f"{topic}[{number}]" for topic, number in partitions])

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.revoked(partitions)

    def owns(self, share: Share, rewound: int | None = None) -> bool:
        """Still, and not rewound since it had been `rewound` times."""
        return self.owned.get(share.partition) is share and rewound in (None, share.rewound)

    def to_flush(
        self, policy: SinkSettings, now: float, awaited: Container[str] = (), *, draining: bool
    ) -> list[Share]:
        """What is to be closed now, of what is not being flushed already: an upload that was replaced would be lost.

        While nothing is read no buffer fills up and none comes to its end: all are closed, once nothing else flushes,
        or they would wait for their age. `draining`: whatever there is.
        """
        idle = [share for share in self.owned.values() if share.is_settled and share.upload is None]
        nothing_flushes = len(idle) == len(self.owned)
        waits = {share.partition: share.buffer.due_in(policy, now, awaited) for share in idle}
        due = [share for share in idle if (wait := waits[share.partition]) is not None and (wait <= 0 or draining)]
        if due or not (self.paused and nothing_flushes):
            return due
        return [share for share in idle if share.buffer.has_moved]

    @property
    def bytes(self) -> int:
        return sum(share.bytes for share in self.owned.values())


@dataclass(frozen=True, slots=True)
class Held:
    """What a sink holds, for who looks at it from another thread. Above `budget` bytes nothing is read."""

    shares: Shares
    budget: int

    def all(self) -> list[Share]:
        return list(self.shares.owned.values())
