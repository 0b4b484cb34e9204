"""What `{p}.webhooks` keeps: each event of a job that its owner is to be told, how far that has come, and wishes to
have it told again. Decisions alone; the gateway's courier carries them out.

An event has one record, written by whoever has its job's partition; a wish is written by whoever was asked for it. All
of a job's lie in the job's partition.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from stream_infer.jobs.bounds import ApiName, Generation, JobId, Moment, Reason, Whole
from stream_infer.jobs.status import State
from stream_infer.kafka.partitioner import partition_of
from stream_infer.ports import Posted
from stream_infer.records import OutgoingRecord
from stream_infer.webhooks import ID_PREFIX, DeliveryState, WebhookEvent

# Before the second attempt, and each later one times as much up to the longest: 5 s, 20 s, 80 s, 5 min, 21 min, 85 min,
# 5.7 h, and every 6 h from then on.
FIRST_S = 5.0
GROWTH = 4
LONGEST_S = 6 * 3600.0
# So many more of each delay, by chance: the events of a receiver that was away do not all come back at once.
SPREAD = 0.2
GONE = 410
_LONGEST_BODY = 64 * 1024
_ID_CHARACTERS = 32
_NOWHERE = "the configuration says no more where to: name a place there, then send it by `stream-infer webhooks replay`"

Token: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{1,32}$")]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True)

    job_id: JobId
    event: WebhookEvent
    generation: Generation

    @property
    def name(self) -> str:
        """The key of the event's own record."""
        return f"{self.job_id}/{self.event}/{self.generation}"


class Delivery(_Said):
    """An event, `at` the time of it, and how far its delivery has come. Times are in seconds since the epoch.

    `id` and `body` are the same at each attempt, whatever becomes of the job. Of `attempts` since it was last asked
    for, the last one was `tried_at`, answered with `status`, or with none and a `reason`. The next one comes at
    `next_at`, the last one `until`. `wish` is that which it was told for last.
    """

    kind: Literal["delivery"] = "delivery"
    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    api: ApiName
    at: Moment
    body: str = Field(max_length=_LONGEST_BODY)
    state: DeliveryState = DeliveryState.PENDING
    attempts: Whole = 0
    tried_at: Moment | None = None
    status: int | None = Field(default=None, ge=0, le=999)  # whatever three digits a receiver answers
    reason: Reason | None = None
    next_at: Moment | None = None
    until: Moment
    wish: Token | None = None

    @property
    def key(self) -> str:
        return self.name

    @property
    def is_pending(self) -> bool:
        return self.state is DeliveryState.PENDING


class Wish(_Said):
    """That the event is told again, as if it had just come. No two have the same `token`."""

    kind: Literal["wish"] = "wish"
    token: Token

    @property
    def key(self) -> str:
        return f"{self.name}/again"


WebhookRecord: TypeAlias = Delivery | Wish
_ADAPTER: TypeAdapter[WebhookRecord] = TypeAdapter(Annotated[WebhookRecord, Field(discriminator="kind")])


def decode_webhook(value: bytes) -> WebhookRecord:
    """Raises ValueError."""
    return _ADAPTER.validate_json(value)


def webhook_record(record: WebhookRecord, topic: str, partitions: int) -> OutgoingRecord:
    """What goes to `topic`, which is `{p}.webhooks`, with its `partitions`."""
    value = record.model_dump_json(exclude_none=True).encode()
    return OutgoingRecord(topic, record.key.encode(), value, partition=partition_of(record.job_id, partitions))


def tombstone(key: str, topic: str, partitions: int) -> OutgoingRecord:
    """What makes `topic` forget the record of that key."""
    return OutgoingRecord(topic, key.encode(), None, partition=partition_of(job_of_key(key), partitions))


def job_of_key(key: str) -> str:
    return key.partition("/")[0]


def event_of(state: State) -> WebhookEvent | None:
    """What is told of a job that has come to `state`; None where it has not ended."""
    return WebhookEvent(f"job.{state.value}") if state.is_final else None


def event_id(job_id: str, event: WebhookEvent, generation: int, at: float) -> str:
    """By which receivers know it again. The same from whoever asks; of two clusters' jobs of one name there are two."""
    told = f"{job_id}\0{event}\0{generation}\0{at!r}"
    return f"{ID_PREFIX}{hashlib.sha256(told.encode()).hexdigest()[:_ID_CHARACTERS]}"


def delay_after(attempts: int, chance: float) -> float:
    """Seconds to wait after so many attempts, 1 or more; `chance`, from 0 to 1, spreads them."""
    return float(min(FIRST_S * GROWTH ** min(attempts - 1, 20), LONGEST_S)) * (1 + SPREAD * chance)


def due_at(delivery: Delivery, now: float) -> float | None:
    """When its next attempt comes by a clock that says `now`; None: there is none.

    A clock that was set back since the last attempt, or since the event was noted, would keep it waiting by as much,
    years perhaps: it waits from now on then, as long as it was meant to.
    """
    if delivery.next_at is None:
        return None
    since = delivery.next_at if delivery.tried_at is None else delivery.tried_at
    return delivery.next_at if since <= now else now + delivery.next_at - since


def settled(delivery: Delivery, posted: Posted | None, now: float, chance: float) -> Delivery:
    """After an attempt that ended `now`; None: there was nobody to send it to. `chance` as for `delay_after`.

    Any answer but a 2xx is a failure, and all but 410 are tried again. What a `Retry-After` wishes is granted as far as
    the event's own time goes, at the end of which there is a last attempt in any case.
    """
    if posted is None:
        return delivery.model_copy(update={"state": DeliveryState.WITHDRAWN, "next_at": None, "reason": _NOWHERE})
    attempts = delivery.attempts + 1
    state, next_at = DeliveryState.PENDING, None
    if posted.is_success:
        state = DeliveryState.DELIVERED
    elif posted.status == GONE:
        state = DeliveryState.GONE
    elif now >= delivery.until:
        state = DeliveryState.GIVEN_UP
    else:
        wait = max(delay_after(attempts, chance), posted.retry_after or 0.0)
        next_at = min(now + wait, delivery.until)
    told = {"attempts": attempts, "tried_at": now, "status": posted.status, "reason": posted.reason}
    return delivery.model_copy(update={**told, "state": state, "next_at": next_at})


def told_again(delivery: Delivery, wish: Wish, now: float, patience_s: float) -> Delivery:
    """From the beginning, under its old id and with its old body."""
    return delivery.model_copy(
        update={
            "state": DeliveryState.PENDING,
            "attempts": 0,
            "tried_at": None,
            "status": None,
            "reason": None,
            "next_at": now,
            "until": now + patience_s,
            "wish": wish.token,
        }
    )
