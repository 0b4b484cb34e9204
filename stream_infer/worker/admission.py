"""From a record that was read to the stage that it needs next: its end, the fetch, or the predictor."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Protocol

import orjson
import structlog

from stream_infer.engine.task import Task
from stream_infer.jobs.spec import Job
from stream_infer.jobs.status import JobStatus
from stream_infer.ports import Reference
from stream_infer.records import Failure, Message, Payload, read_item
from stream_infer.worker.fetch import FetchStage
from stream_infer.worker.ledger import Entry, Ledger
from stream_infer.worker.triage import RunHook, Wait, triage

_LOG = structlog.get_logger(__name__)


class JobsView(Protocol):
    def get(self, key: str) -> Job | None: ...


class StatusView(Protocol):
    def get(self, key: str) -> JobStatus | None: ...

    def catch_up(self) -> Future[None]: ...


class Admission:
    """Judges each item once it is in the ledger. Used on the loop's thread."""

    def __init__(self, ledger: Ledger, fetch: FetchStage, jobs: JobsView, status: StatusView) -> None:
        self._ledger = ledger
        self._fetch = fetch
        self._jobs = jobs
        self._status = status
        self._unknown: list[tuple[Future[None], list[Entry]]] = []

    def admit(self, messages: Iterable[Message], now: float) -> list[Task]:
        """Takes records into the ledger; answers what the predictor can begin with. `now` since the epoch."""
        tasks: list[Task] = []
        unknown: list[Entry] = []
        for message in messages:
            entry = self._ledger.admit((message.topic, message.partition), read_item(message))
            if entry is not None and not self._route(entry, tasks, now, jobs_are_current=False):
                unknown.append(entry)
        if unknown:
            self._unknown.append((self._status.catch_up(), unknown))
        return tasks

    def advance(self, now: float) -> list[Task]:
        """What has become ready since: payloads that were fetched, items whose job could be looked up."""
        tasks = self._judge_again(now)
        for fetched in self._fetch.take():
            entry = self._ledger.get(fetched.token)
            if entry is None:
                continue
            match fetched.outcome:
                case Payload() as payload:
                    self._ledger.resize(entry, len(payload.data))
                    tasks.append(Task(fetched.token, payload))
                case Failure() as failure:
                    self._ledger.finish(fetched.token, failure)
        return tasks

    def _judge_again(self, now: float) -> list[Task]:
        tasks: list[Task] = []
        still: list[tuple[Future[None], list[Entry]]] = []
        for current, entries in self._unknown:
            held = [entry for entry in entries if self._ledger.get(entry.token) is not None]
            if not current.done():
                still.append((current, held))
            elif current.exception() is not None:
                _LOG.warning("jobs_unknown", items=len(held), reason=str(current.exception()))
                still.append((self._status.catch_up(), held))
            else:
                for entry in held:
                    self._route(entry, tasks, now, jobs_are_current=True)
        self._unknown = still
        return tasks

    def _route(self, entry: Entry, tasks: list[Task], now: float, *, jobs_are_current: bool) -> bool:
        """Sends the entry where it belongs; False where it has to wait for its job."""
        item = entry.item
        if item is None:
            return True
        match triage(item, self._status.get, jobs_are_current=jobs_are_current, now=now):
            case Wait.FOR_JOB:
                return False
            case Payload() as payload:
                tasks.append(Task(entry.token, payload))
            case Reference() as reference:
                self._fetch.submit(entry.token, reference)
            case RunHook(job_id):
                tasks.append(self.hook(entry.token, job_id))
            case ended:
                self._ledger.finish(entry.token, ended)
        entry.jobless = item.job_id is not None and self._status.get(item.job_id) is None
        return True

    def hook(self, token: int, job_id: str) -> Task:
        """The call of a job's `on_job_complete`."""
        job = self._jobs.get(job_id)
        return Task(token, Payload(orjson.dumps(job.config if job is not None else {})), hook=job_id)
