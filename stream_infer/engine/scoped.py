"""Calls of a predictor that has an instance for each job. Runs in the child; does nothing for any other predictor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stream_infer.engine.wire import ToParent, read_job
from stream_infer.predictors.protocol import Batch, Job, JobScoped, Predictor


class ScopedCalls:
    """`say` sends a message to the parent. Used on the main thread, but for `read`."""

    def __init__(self, predictor: Predictor, say: Callable[[tuple[Any, ...]], None]) -> None:
        self._predict: Callable[[Any], Any] = predictor.predict
        self._scoped = predictor if isinstance(predictor, JobScoped) else None
        self._say = say

    def read(self, batch: tuple[str, bytes | None] | None) -> Batch | None:
        """What a CALL says of its batch. None: the call is one of a predictor that knows no jobs."""
        if batch is None or self._scoped is None:
            return None
        batch_id, job = batch
        return Batch(batch_id, None if job is None else read_job(job))

    def load(self, job: Job | None, call_id: int) -> None:
        """Makes the job's instance unless it is there; it has as long for it as the predictor had at the start.

        Raises JobRefused.
        """
        if self._scoped is None:
            return
        if not self._scoped.holds(job):
            self._say((ToParent.LOADS.value, call_id))
        self._scoped.load(job)

    def predict(self, items: Any, batch: Batch | None) -> Any:
        if batch is None or self._scoped is None:
            return self._predict(items)
        return self._scoped.predict_batch(items, batch)

    def forget(self, job_id: str) -> None:
        if self._scoped is not None:
            self._scoped.forget(job_id)
