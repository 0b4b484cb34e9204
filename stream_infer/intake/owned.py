"""The partitions of `{p}.jobs` that are this intake's: taken over as the group says, and anew once they were fenced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter

import structlog

from stream_infer.errors import Fenced, ServiceUnavailable
from stream_infer.intake.named import NamedJobs
from stream_infer.intake.partition import JobsPartition, OpenSource, Run
from stream_infer.intake.publication import Publication
from stream_infer.jobs.checkpoints import decode_checkpoint
from stream_infer.kafka.consumer import Partition
from stream_infer.kafka.errors import RecordTooLarge
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.kafka.views import read_compacted
from stream_infer.pool import DaemonPool
from stream_infer.settings import MIB, Settings
from stream_infer.topics import Topics

_LOG = structlog.get_logger(__name__)
_READERS = 64  # sources read at a time: one that hangs holds up its own job alone


class OwnedPartitions:
    """By their numbers. What the group says comes inside `poll`; all but `all` is for the thread that polls."""

    def __init__(self, settings: Settings, publication: Publication, open_source: OpenSource) -> None:
        self._settings = settings
        self._publication = publication
        self._open_source = open_source
        self._topics = Topics(settings.kafka.topic_prefix)
        self._partitions: dict[int, JobsPartition] = {}
        self._fenced: dict[int, list[Run]] = {}
        self._named: dict[int, NamedJobs] = {}
        self._readers = DaemonPool(_READERS, "source")

    def all(self) -> list[JobsPartition]:
        """From any thread."""
        return list(self._partitions.values())

    def items(self) -> list[tuple[int, JobsPartition]]:
        return list(self._partitions.items())

    def get(self, number: int) -> JobsPartition | None:
        return self._partitions.get(number)

    def named(self, number: int) -> NamedJobs | None:
        """Which jobs the partition names; None: it is not ours."""
        return self._named.get(number)

    @contextmanager
    def noting_fencing(self, number: int, partition: JobsPartition) -> Iterator[None]:
        """It is given up where its producer is of no use any more, and taken over anew behind the next poll."""
        try:
            yield
        except (Fenced, ServiceUnavailable, RecordTooLarge) as error:
            # Of a producer that could not abort, or whose record was refused, nothing is known.
            _LOG.warning("intake_fenced", partition=number, reason=str(error))
            self._fenced[number] = partition.all_runs()
            self._partitions.pop(number).close()

    def take_over_fenced(self) -> None:
        """Partitions that are still ours after a poll: their fencing was a transaction that took too long, or a member
        that slept through its expulsion and is gone by now. Those that it told us are lost are not here any more."""
        for number in list(self._fenced):
            try:
                self._partitions[number] = self._take_over(number)
            except ServiceUnavailable as error:
                _LOG.warning("intake_waits", partition=number, reason=str(error))
                return
            for run in self._fenced.pop(number):
                self._partitions[number].learn(run.job, run)

    def _take_over(self, number: int) -> JobsPartition:
        """First fence the predecessor, then read how far it came: in this order."""
        kafka = self._settings.kafka
        name = f"{self._topics.prefix}.intake.{number}"
        producer = TransactionalProducer(kafka, name, max_bytes=self._settings.limits.payload_bytes + 4 * MIB)
        try:
            producer.initialise()
            topic, key_of = self._topics.checkpoints, attrgetter("job_id")
            checkpoints = read_compacted(kafka, topic, number, decode_checkpoint, key_of=key_of)
        except BaseException:
            producer.close()
            raise
        return JobsPartition(producer, checkpoints, self._publication, self._open_source, self._readers)

    # What the group says, inside `poll` and on its thread.

    def assigned(self, partitions: Sequence[Partition]) -> None:
        for _, number in partitions:
            self._partitions[number] = self._take_over(number)
            self._named[number] = NamedJobs()

    def revoked(self, partitions: Sequence[Partition]) -> None:
        for _, number in partitions:
            self._fenced.pop(number, None)
            self._named.pop(number, None)
            partition = self._partitions.pop(number, None)
            if partition is not None:
                partition.close()

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.revoked(partitions)
