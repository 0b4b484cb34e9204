"""What is new of the deliveries of a share, as records: events, answers, wishes, and jobs that are forgotten."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

import structlog

from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.webhooks.board import DeliveryBoard
from stream_infer.gateway.webhooks.message import delivery_of
from stream_infer.gateway.webhooks.share import Share
from stream_infer.gateway.webhooks.target import Target, target_of
from stream_infer.gateway.webhooks.under_way import Sending, UnderWay
from stream_infer.jobs.deliveries import Delivery, job_of_key, settled, told_again, tombstone, webhook_record
from stream_infer.jobs.status import JobStatus
from stream_infer.kafka.definitions import CurrentSettings, FixedSettings
from stream_infer.kafka.partitioner import partition_of
from stream_infer.ports import Posted
from stream_infer.records import OutgoingRecord
from stream_infer.settings import Settings
from stream_infer.telemetry import tracing
from stream_infer.topics import Topics
from stream_infer.trace_context import read_context
from stream_infer.webhooks import DeliveryState

Changes: TypeAlias = dict[str, Delivery | None]
"""By the keys of records; None: the record is forgotten."""

# A transaction has to end within kafka.transaction_timeout: all that a receiver missed in a month may be wished for.
WISHES_AT_A_TIME = 500
_NOT_SENT = Posted(None, "it could not be sent, by a fault of stream-infer that stands in the gateway's log")
_log = structlog.get_logger(__name__)


class Jobs(Protocol):
    """The board, for a thread that may block."""

    def find(self, job_id: str) -> KnownJob | None: ...

    def peek(self, job_id: str) -> KnownJob | None: ...


class Notes:
    """`uri_of` says where in the store a key lies; `apis` has those of now."""

    def __init__(
        self,
        settings: Settings,
        jobs: Jobs,
        board: DeliveryBoard,
        uri_of: Callable[[str], str],
        apis: CurrentSettings | None = None,
    ) -> None:
        self._settings = settings
        self._apis = apis or FixedSettings(settings)
        self._topic = Topics(settings.kafka.topic_prefix).webhooks
        self._jobs = jobs
        self._board = board
        self._uri_of = uri_of

    def changes(self, share: Share, answered: Sequence[Sending], under_way: UnderWay) -> Changes:
        """Of a share that is ready, `answered` being of those under way. May block, and raise as the board does."""
        now, forgotten = time.time(), self._forgotten(share)
        changes: Changes = dict.fromkeys(forgotten)
        self._know_jobs(share.ends)
        for status in share.ends:
            delivery = self._event(status, now)
            if delivery is not None and (delivery.key in forgotten or not share.knows(delivery.key)):
                changes[delivery.key] = delivery
        for sending in answered:
            before = share.pending.get(sending.key)
            if before is not None and before.key not in forgotten:
                chance = random.random()  # noqa: S311 - of a delay  # nosec B311
                changes[before.key] = settled(before, _answer(sending.answer), now, chance)
        return changes | self._wished(share, forgotten, under_way, now)

    def records(self, changes: Mapping[str, Delivery | None]) -> list[OutgoingRecord]:
        partitions = self._settings.jobs.partitions
        return [
            tombstone(key, self._topic, partitions)
            if change is None
            else webhook_record(change, self._topic, partitions)
            for key, change in changes.items()
        ]

    def target(self, delivery: Delivery) -> Target | None:
        """Where it is to be sent as things stand now. May block, and raise as the board does: a gateway that is behind
        with its jobs does not know one that another has noted, which is no reason to withdraw what is told of it.
        """
        known = self._jobs.peek(delivery.job_id) or self._jobs.find(delivery.job_id)
        return None if known is None else self._target(known)

    def host(self, delivery: Delivery) -> str:
        """By which it waits for its turn."""
        known = self._jobs.peek(delivery.job_id)
        target = None if known is None else self._target(known)
        return "" if target is None else urlsplit(target.url).netloc

    def traceparent(self, delivery: Delivery) -> str | None:
        """On whose behalf its job was submitted."""
        known = self._jobs.peek(delivery.job_id)
        return None if known is None else known.job.traceparent

    def _forgotten(self, share: Share) -> set[str]:
        """The keys of what was said of jobs that are forgotten, and of what was wished for."""
        jobs = set(share.forgotten)
        if not jobs:
            return set()
        of_board = (key for job_id in jobs for key in self._board.keys_of(job_id))
        return {key for key in (*share.pending, *share.ended) if job_of_key(key) in jobs}.union(of_board)

    def _know_jobs(self, ends: Iterable[JobStatus]) -> None:
        """Reads on once where one of them is of a job that the board does not know yet: it may be nobody's."""
        unknown = next((status for status in ends if self._jobs.peek(status.job_id) is None), None)
        if unknown is not None:
            self._jobs.find(unknown.job_id)

    def _target(self, known: KnownJob) -> Target | None:
        return target_of(known.job.webhook, self._apis.settings.api(known.job.api), self._settings)

    def _event(self, status: JobStatus, now: float) -> Delivery | None:
        """The job's row on the board may be another one by now: what is told is what was read."""
        known = self._jobs.peek(status.job_id)
        if known is None or known.job.webhook is None:
            return None
        try:
            return delivery_of(
                KnownJob(known.job, status),
                self._target(known),
                results_uri=self._uri_of(f"{known.job.api}/{known.job.job_id}"),
                public_url=self._settings.gateway.public_url,
                now=now,
                patience_s=self._settings.webhooks.give_up_after,
            )
        except ValueError as error:
            # Raised on, it would be found again for ever, and no other job's end be told.
            _log.warning("webhook_not_made", job_id=status.job_id, state=status.state.value, error=str(error))
            return None

    def _wished(self, share: Share, forgotten: Collection[str], under_way: UnderWay, now: float) -> Changes:
        """A wish is forgotten as it is granted, or with what it is about. The board may show it a while longer: its
        token tells that it was granted. So many at a time; the others stay, as does one whose delivery the board has
        not seen yet.
        """
        changes: Changes = {}
        for wish in self._board.wishes():
            name = wish.name
            if name in forgotten:
                continue
            if not share.knows(name):
                if partition_of(wish.job_id, self._settings.jobs.partitions) == share.number:
                    changes[wish.key] = None
            elif name not in under_way and share.wish_of(name) != wish.token:
                delivery = share.pending.get(name) or self._board.get(name)
                if delivery is not None:
                    changes[name] = told_again(delivery, wish, now, self._settings.webhooks.give_up_after)
                    changes[wish.key] = None
            if len(changes) >= 2 * WISHES_AT_A_TIME:
                break
        return changes


def tell(changes: Iterable[Delivery | None], traceparent_of: Callable[[Delivery], str | None]) -> None:
    """Says in the log, and so in the job's own, what has become of those that were tried, or are new."""
    for change in changes:
        if change is not None:
            with tracing.on_behalf_of(read_context(traceparent_of(change))):
                _tell(change)


def _tell(change: Delivery) -> None:
    said = _log.bind(job_id=change.job_id, webhook_event=change.event.value, webhook_id=change.id)
    match change.state:
        case DeliveryState.PENDING if change.attempts == 0:
            said.info("webhook_due")
        case DeliveryState.PENDING:
            said.warning(
                "webhook_failed", attempt=change.attempts, reason=change.reason,
                retry_in_s=round((change.next_at or 0.0) - (change.tried_at or 0.0)),
            )  # fmt: skip
        case DeliveryState.DELIVERED:
            said.info("webhook_delivered", attempt=change.attempts, status=change.status)
        case ended:
            said.warning("webhook_ended", outcome=ended.value, attempt=change.attempts, reason=change.reason)


def _answer(answer: Future[Posted | None]) -> Posted | None:
    try:
        return answer.result()
    except Exception:  # noqa: BLE001 (a fault of ours costs an attempt, not the gateway)
        _log.exception("webhook_not_sent")
        return _NOT_SENT
