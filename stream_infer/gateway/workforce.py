"""How many workers and replicas an API has, and how many it is to have."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from stream_infer.errors import StreamInferError
from stream_infer.gateway.api_bodies import ApiStatus
from stream_infer.gateway.replicas import Replica, Replicas
from stream_infer.settings import ApiSettings
from stream_infer.topics import Topics

if TYPE_CHECKING:
    from stream_infer.gateway.board import KnownJob

_KNOWN_FOR_S = 1.0
# Of an API's jobs, the newest so many say how long an item takes.
_NEWEST = 20
_log = structlog.get_logger(__name__)


class Members(Protocol):
    """The client ids of groups' members. May block."""

    def client_ids(self, groups: Sequence[str]) -> Mapping[str, list[str]]: ...


@dataclass(frozen=True, slots=True)
class Workforce:
    """`available` workers are in the API's group, with the ready ones of its replicas, None where nobody knows;
    `up_to_date` of them have the settings that this gateway has. `avg_latency` in seconds, of a request or an item."""

    requested: int
    available: int | None
    up_to_date: int | None
    avg_latency: float | None
    status: ApiStatus
    replicas: Sequence[Replica] = ()


class Workers:
    """Who is in the APIs' groups, as it was at most a second ago. One thread at a time uses it."""

    def __init__(self, members: Members, topics: Topics, clock: Callable[[], float] = time.monotonic) -> None:
        self._members = members
        self._topics = topics
        self._clock = clock
        self._asked_at = float("-inf")
        self._found: Mapping[str, list[str]] | None = None

    def client_ids(self, apis: Iterable[ApiSettings]) -> dict[str, list[str]] | None:
        """By API; None where Kafka does not say. May block."""
        groups = {api.name: self._topics.api(api.name).worker_group for api in apis}
        if self._clock() - self._asked_at >= _KNOWN_FOR_S or (
            self._found is not None and not set(groups.values()) <= set(self._found)
        ):
            self._asked_at = self._clock()
            try:
                self._found = self._members.client_ids(list(groups.values()))
            except StreamInferError as error:
                _log.warning("workers_unknown", reason=str(error))
                self._found = None
        if self._found is None:
            return None
        return {name: self._found.get(group, []) for name, group in groups.items()}


def workforce(
    api: ApiSettings, client_ids: Sequence[str] | None, replicas: Replicas | None, jobs: Sequence[KnownJob]
) -> Workforce:
    """`client_ids` of the workers, None: unknown. `jobs` are those of the API, newest first.

    Requested is what local/scaling.py starts at once; that it starts more where they stay behind is not seen here.
    """
    active = [known for known in jobs if not known.status.state.is_final]
    wished = max(sum(known.job.workers or 0 for known in active), 1 if active else 0)
    all_replicas = [] if replicas is None else replicas.all
    requested = min(max(wished, api.workers.min), api.workers.max, api.partitions) + len(all_replicas)
    ready = sum(replica.is_ready for replica in all_replicas)
    latency = _seconds_per_item(jobs) if replicas is None or replicas.mean_s is None else replicas.mean_s
    if client_ids is None:
        return Workforce(requested, None, None, latency, ApiStatus.UNKNOWN, all_replicas)
    current = sum(client_id.endswith(f"@{api.version}") for client_id in client_ids)
    available = len(client_ids) + ready
    is_hindered = any(known.status.hindrances for known in active)
    status = _status(requested, available, is_hindered=is_hindered)
    return Workforce(requested, available, current + ready, latency, status, all_replicas)


def _status(requested: int, available: int, *, is_hindered: bool) -> ApiStatus:
    if is_hindered:
        return ApiStatus.HINDERED
    if available < requested:
        return ApiStatus.STARTING
    return ApiStatus.LIVE if available else ApiStatus.IDLE


def _seconds_per_item(jobs: Sequence[KnownJob]) -> float | None:
    """From a job's first outcome to its last, by what ended; None where no job can tell."""
    seconds, items = 0.0, 0
    for known in jobs[:_NEWEST]:
        times, counts = known.status.times, known.status.counts
        began, ended = times.get("running"), times.get("finalizing")
        if began is not None and ended is not None:
            seconds += max(0.0, ended - began)
            items += counts.succeeded + counts.rejected
    return seconds / items if items else None
