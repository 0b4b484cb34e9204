"""From a record that was read to the stage that it needs next: its end, the fetch, the predictor, or a wait."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Protocol

import structlog

from stream_infer.engine.task import Task
from stream_infer.ports import Reference
from stream_infer.records import Failure, Message, Payload, read_item
from stream_infer.topics import ApiTopics
from stream_infer.worker.fetch import FetchStage
from stream_infer.worker.journal import Suspects
from stream_infer.worker.known_jobs import KnownJobs
from stream_infer.worker.ledger import Entry, Ledger, Partition, Skipped
from stream_infer.worker.outcomes import Outcomes
from stream_infer.worker.retry import again
from stream_infer.worker.triage import Moment, RunHook, Wait, WaitUntil, triage
from stream_infer.worker.waiting import Waiting

_LOG = structlog.get_logger(__name__)


class Gate(Protocol):
    """Whether the predictor takes items: all, or the one of this token."""

    @property
    def is_serving(self) -> bool: ...

    def admits(self, token: int) -> bool: ...


class Admission:
    """Judges each item once it is in the ledger, and again whenever what it waits for has come. One thread uses it."""

    def __init__(
        self,
        ledger: Ledger,
        waiting: Waiting,
        outcomes: Outcomes,
        fetch: FetchStage,
        *,
        jobs: KnownJobs,
        topics: ApiTopics,
        suspects: Suspects,
        gate: Gate,
    ) -> None:
        self._ledger = ledger
        self._waiting = waiting
        self._outcomes = outcomes
        self._fetch = fetch
        self._jobs = jobs
        self._topics = topics
        self._suspects = suspects
        self._gate = gate
        self._unknown: list[tuple[Future[None], list[Entry]]] = []
        self._tiers: dict[str, int | None] = {}

    def admit(self, messages: Iterable[Message], now: float) -> list[Task]:
        """Takes records into the ledger; answers what the predictor can begin with. `now` since the epoch."""
        tasks: list[Task] = []
        unknown: list[Entry] = []
        moment = Moment(now, jobs_are_current=False, is_serving=self._gate.is_serving)
        for message in messages:
            entry = self._ledger.admit((message.topic, message.partition), read_item(message))
            if entry is not None and not self._route(entry, tasks, moment):
                unknown.append(entry)
        if unknown:
            self._unknown.append((self._jobs.catch_up(), unknown))
        return tasks

    def advance(self, now: float) -> list[Task]:
        """What has become ready since: payloads that were fetched, items that are due or whose job is known now."""
        tasks = self._judge_unknown(now)
        self._judge(self._waiting.due(now), tasks, now)
        ending = self._jobs.ending.take()
        if ending:
            self._judge(self._waiting.of_jobs(ending), tasks, now)
        for fetched in self._fetch.take():
            entry = self._ledger.get(fetched.token)
            if entry is None:
                continue
            match fetched.outcome:
                case Payload() as payload:
                    self._ledger.resize(entry, len(payload.data))
                    self._predict(entry, payload, tasks)
                case Failure() as failure:
                    self._outcomes.fail(entry, failure, now)
        return tasks

    def release(self, entries: Iterable[Entry], now: float, *, one: bool = False) -> list[Task]:
        """Judges entries that waited for the predictor; `one`: as if it served, to find out whether it does."""
        tasks: list[Task] = []
        moment = Moment(now, jobs_are_current=True, is_serving=one or self._gate.is_serving)
        for entry in self._waiting.release(entries):
            self._route(entry, tasks, moment)
        return tasks

    def _judge(self, entries: Iterable[Entry], tasks: list[Task], now: float) -> None:
        moment = Moment(now, jobs_are_current=True, is_serving=self._gate.is_serving)
        for entry in entries:
            self._route(entry, tasks, moment)
            if entry.ended is not None:
                self._clear_the_way(entry)

    def _clear_the_way(self, entry: Entry) -> None:
        """An item that has ended early in a tier is not held up by those before it: they go through the tier again."""
        item = entry.item
        if item is None or not isinstance(entry.ended, Skipped | Failure):
            return
        partition = item.message.position[:2]
        tier = self._tier_of(partition[0])
        if tier is None:
            return
        for other in self._waiting.before(partition, entry.token):
            if other.item is not None:
                self._ledger.finish(other.token, again(other.item, self._outcomes.nearest_tier(tier)))

    def _judge_unknown(self, now: float) -> list[Task]:
        tasks: list[Task] = []
        still: list[tuple[Future[None], list[Entry]]] = []
        for current, entries in self._unknown:
            held = [entry for entry in entries if self._ledger.get(entry.token) is not None]
            if not current.done():
                still.append((current, held))
            elif current.exception() is not None:
                _LOG.warning("jobs_unknown", items=len(held), reason=str(current.exception()))
                still.append((self._jobs.catch_up(), held))
            else:
                moment = Moment(now, jobs_are_current=True, is_serving=self._gate.is_serving)
                for entry in held:
                    self._route(entry, tasks, moment)
        self._unknown = still
        return tasks

    def _route(self, entry: Entry, tasks: list[Task], moment: Moment) -> bool:
        """Sends the entry where it belongs; False where it has to wait for its job."""
        item = entry.item
        if item is None:
            return True
        match triage(item, self._tier_of(item.message.topic), self._jobs, self._outcomes.policy, moment):
            case Wait.FOR_JOB:
                return False
            case Wait.FOR_PREDICTOR:
                self._waiting.for_predictor(entry)
            case WaitUntil(at):
                self._waiting.until(entry, at)
            case Payload() as payload:
                self._predict(entry, payload, tasks)
            case Reference() as reference:
                self._fetch.submit(entry.token, reference)
            case RunHook(job_id):
                tasks.append(self._outcomes.hook(entry.token, job_id))
            case ended:
                self._ledger.finish(entry.token, ended)
        entry.jobless = item.job_id is not None and self._jobs.status(item.job_id) is None
        return True

    def _predict(self, entry: Entry, payload: Payload, tasks: list[Task]) -> None:
        if not self._gate.admits(entry.token):
            self._waiting.for_predictor(entry)
        elif not self._suspects or entry.item is None:
            tasks.append(Task(entry.token, payload, suspect=entry.suspect))
        elif (culprit := self._suspects.verdict(entry.item.message.position)) is not None:
            self._ledger.finish(entry.token, culprit)
        else:
            suspect = entry.suspect or self._suspects.has(entry.item.message.position)
            tasks.append(Task(entry.token, payload, suspect=suspect))

    def _tier_of(self, topic: str) -> int | None:
        if topic not in self._tiers:
            self._tiers[topic] = self._topics.tier_of(topic)
        return self._tiers[topic]

    # What a rebalance takes away.

    def forget_lost(self) -> None:
        self._waiting.forget_lost()

    def next_time(self) -> float:
        """When `advance` will next have something to do by itself, in seconds since the epoch."""
        return self._waiting.next_time()

    def overfull(self, partitions: Iterable[Partition], max_entries: int, max_bytes: int) -> set[Partition]:
        """The partitions of retry tiers of which enough is waiting here."""
        full: set[Partition] = set()
        for partition in partitions:
            if self._tier_of(partition[0]) is None:
                continue
            count, size = self._ledger.waiting_in(partition)
            if count >= max_entries or size >= max_bytes:
                full.add(partition)
        return full
