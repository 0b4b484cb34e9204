"""What ends a job: its hook published, then what it leaves in the store assembled; each step can be run again."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence

from structlog.contextvars import bound_contextvars

from stream_infer.headers import item_headers, trace_headers
from stream_infer.jobs.events import Event, Hindered, HookEnded, HookPublished, encode_event
from stream_infer.jobs.manifest import Assembled, ManifestRecord
from stream_infer.jobs.replays import Replays, read_replays
from stream_infer.jobs.status import HinderedRole, JobStatus
from stream_infer.kafka.definitions import CurrentSettings
from stream_infer.kafka.partitioner import partition_of
from stream_infer.ports import Store
from stream_infer.records import Control, OutgoingRecord
from stream_infer.sink.agreeing import agreeing
from stream_infer.sink.assembly import Abandoned, Check, assemble, finalized, unseal
from stream_infer.sink.backlog import Step, Task
from stream_infer.sink.hook_word import is_hook_published
from stream_infer.sink.manifests import Manifests
from stream_infer.sink.outputs import Outputs
from stream_infer.telemetry import tracing
from stream_infer.topics import Topics
from stream_infer.trace_context import read_context


class Steps:
    """Any thread may take one. The records that it answers say that it is done, and are the caller's to commit."""

    def __init__(self, apis: CurrentSettings, store: Store, outputs: Outputs) -> None:
        self._apis = apis
        self._settings = settings = apis.settings
        self._store = store
        self._topics = Topics(settings.kafka.topic_prefix)
        self._manifests = Manifests(settings)
        self._outputs = outputs

    def check(self) -> None:
        """Raises TopicMismatch or ServiceUnavailable."""
        self._manifests.check()

    def take(self, task: Task, cancelled: threading.Event, away_since: float | None) -> list[OutgoingRecord]:
        """One try. `away_since` as for `Outputs.make`.

        Raises Abandoned once `cancelled`; ServiceUnavailable or OutputUnavailable where it is to be tried again.
        """
        status = task.status
        attributes = {"stream_infer.job.id": status.job_id, "stream_infer.api": status.api}
        with (
            bound_contextvars(job_id=status.job_id, generation=status.generation),
            tracing.span(f"finalize {task.step.value}", attributes=attributes, parent=read_context(status.traceparent)),
        ):
            return self._take(task, cancelled, away_since)

    def _take(self, task: Task, cancelled: threading.Event, away_since: float | None) -> list[OutgoingRecord]:
        status = task.status

        def check(seconds: float = 0.0) -> None:
            if cancelled.wait(seconds):
                raise Abandoned(f"finalizing {status.job_id} goes on elsewhere")

        check()  # it may have waited in its queue until another step of the job was done in another one
        match task.step:
            case Step.UNSEAL:
                return self._unseal(status)
            case Step.HOOK:
                return self._publish_hook(status, check)
            case Step.ASSEMBLE:
                return self._assemble(status, check, away_since)

    def hindered(self, status: JobStatus, reason: str, at: float) -> OutgoingRecord:
        """The word of what keeps a step of the job waiting; `at` in seconds since the epoch."""
        role = HinderedRole.SINK
        return self._progress(
            Hindered(job_id=status.job_id, at=at, generation=status.generation, role=role, reason=reason)
        )

    def _unseal(self, status: JobStatus) -> list[OutgoingRecord]:
        """A reader that finds `_SUCCESS` takes the job for complete: while it runs again there must be none."""
        unseal(self._store, status)
        return []

    def _publish_hook(self, status: JobStatus, check: Check) -> list[OutgoingRecord]:
        """The control record and the word of it, once. Counted nowhere; its lag wakes an API that stands at zero."""
        unseal(self._store, status)
        if self._apis.settings.api(status.api) is None:
            # Its topic may be gone, and nobody would read it.
            error = f"on_job_complete was not run: there is no API {status.api!r} any more"
            ended = HookEnded(job_id=status.job_id, at=time.time(), generation=status.generation, error=error)
            return [self._progress(ended)]
        if is_hook_published(self._settings, status, check):
            return []
        control = OutgoingRecord(
            self._topics.api(status.api).items,
            status.job_id.encode(),
            json.dumps({"job_id": status.job_id, "generation": status.generation}).encode(),
            item_headers(job_id=status.job_id, generation=status.generation, control=Control.ON_JOB_COMPLETE)
            + trace_headers(read_context(status.traceparent)),
        )
        event = HookPublished(job_id=status.job_id, at=time.time(), generation=status.generation)
        return [control, self._progress(event)]

    def _assemble(self, status: JobStatus, check: Check, away_since: float | None) -> list[OutgoingRecord]:
        errors: list[str] = []

        def assembled(left: Sequence[ManifestRecord]) -> Assembled | None:
            made, error = self._outputs.make(status, left, check, away_since)
            errors.extend([] if error is None else [error])
            return made

        records = agreeing(self._store, self._manifests.whole(status, check), self._outputs.formats, check)
        left = assemble(self._store, status, records, self._replays(status), check, assembled)
        return [self._progress(finalized(self._store, status, left, time.time(), next(iter(errors), None)))]

    def _replays(self, status: JobStatus) -> Replays:
        """Complete, since the job's generation was exhausted in the last of the transactions that wrote them."""
        if status.generation == 1:
            return Replays()
        place = partition_of(status.job_id, self._settings.jobs.partitions)
        return read_replays(self._settings.kafka, self._topics.replays, [place], job_id=status.job_id)

    def _progress(self, event: Event) -> OutgoingRecord:
        place = partition_of(event.job_id, self._settings.jobs.partitions)
        return OutgoingRecord(self._topics.progress, event.job_id.encode(), encode_event(event), partition=place)
