"""Cortex's batch predictors, as they are: an instance for each job, batches of its items alone, then its hook.

    class PythonPredictor:                              or Handler, with
        def __init__(self, config, job_spec): ...
        def predict(self, payload, batch_id): ...           handle_batch
        def on_job_complete(self): ...                      handle_on_job_complete

Each takes any of these arguments.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from stream_infer.engine.diagnosis import Ailment, diagnose, relieve
from stream_infer.errors import JobRefused, PredictorUnavailable
from stream_infer.predictors.cortex_code import NoMetrics, Taking, find_method
from stream_infer.predictors.finding import said
from stream_infer.predictors.protocol import Batch, Job, JobScoped

_PREDICT = ("handle_batch", "predict")
_HOOK = ("handle_on_job_complete", "on_job_complete")
_CONSTRUCTED_WITH = ("config", "job_spec", "metrics_client")
# Cortex gives a batch predictor that asks for them None for what only a request has.
_CALLED_WITH = ("payload", "batch_id", "query_params", "headers")
_JOBLESS = Job("jobless", {})

log = logging.getLogger("cortex")


class CortexBatches(JobScoped):
    """Instances of one class by job; of the jobs used last `instances` are kept. See predictors/protocol.py."""

    on_job_complete: Callable[[Job], None] | None

    def __init__(self, cls: type, what: str, config: Mapping[str, Any], instances: int) -> None:
        predict, hook = find_method(cls, _PREDICT), find_method(cls, _HOOK)
        if predict is None:
            raise PredictorUnavailable(f"{what} has no method predict(self, payload, batch_id), nor handle_batch")
        self._class = cls
        self._what = what
        self._config = config
        self._most = instances
        self._predict, self._hook = predict, hook
        self._constructor = Taking(cls, _CONSTRUCTED_WITH, f"the constructor of {what}")
        self._call = Taking(getattr(cls, predict), _CALLED_WITH, f"{predict} of {what}", skipped=1)
        self._instances: OrderedDict[str, Any] = OrderedDict()
        self.on_job_complete = None if hook is None else self._complete

    def holds(self, job: Job | None) -> bool:
        return (job or _JOBLESS).id in self._instances

    def load(self, job: Job | None) -> None:
        job = job or _JOBLESS
        if job.id in self._instances:
            self._instances.move_to_end(job.id)
            return
        while len(self._instances) >= self._most:
            self._drop_oldest(job)
        self._instances[job.id] = self._construct(job)

    def predict_batch(self, items: Sequence[Any], batch: Batch) -> Sequence[Any]:
        instance = self._instances[(batch.job or _JOBLESS).id]
        given = {"payload": list(items), "batch_id": batch.id, "query_params": None, "headers": None}
        return outputs_of(getattr(instance, self._predict)(**self._call.of(given)), len(items))

    def predict(self, items: Sequence[Any]) -> Sequence[Any]:
        """Without Kafka there are no jobs: one instance, as for items without one."""
        self.load(None)
        return self.predict_batch(items, Batch("", None))

    def forget(self, job_id: str) -> None:
        self._instances.pop(job_id, None)

    def _complete(self, job: Job) -> None:
        """The instance is kept until the hook has succeeded: it may be tried again, with the state it has."""
        assert self._hook
        getattr(self._instances[job.id], self._hook)()
        self.forget(job.id)

    def _construct(self, job: Job) -> Any:
        try:
            return self._make(job)
        except (Exception, SystemExit) as error:
            if diagnose(error) is Ailment.OUT_OF_MEMORY and self._instances:
                self._make_room(error, job)
                return self._construct(job)
            raise JobRefused(
                f"job {job.id} cannot be served: the constructor of {self._what} raised {said(error)}"
            ) from error

    def _make(self, job: Job) -> Any:
        config = merged(self._config, job.config)
        given = {"config": config, "job_spec": job_spec(job), "metrics_client": NoMetrics()}
        return self._class(**self._constructor.of(given))

    def _make_room(self, error: BaseException, job: Job) -> None:
        """Memory has run out, and others' instances have it: this job is not to blame."""
        log.warning("there is no memory for job %s beside %s, whose state is gone", job.id, ", ".join(self._instances))
        self._instances.clear()
        relieve(error)

    def _drop_oldest(self, job: Job) -> None:
        dropped, _ = self._instances.popitem(last=False)
        log.warning(
            "job %s takes the place of job %s, whose instance and its state are gone: predictor.instances is %d",
            job.id, dropped, self._most,
        )  # fmt: skip


def outputs_of(returned: Any, count: int) -> list[Any]:
    """One output for each of `count` items.

    Cortex ignores what a batch predictor returns. Here a list of as many values has one for each item; anything else
    is the batch's and stands with its first item, the others have None. None: for all of them.
    """
    if isinstance(returned, list | tuple) and len(returned) == count:
        return list(returned)
    return [returned, *[None] * (count - 1)]


def merged(config: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """The API's config with the job's laid over it, key by key and at any depth."""
    result = dict(config)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def job_spec(job: Job) -> dict[str, Any]:
    """In Cortex's words. `total_batch_count` is None where how many items there are was not known from the start."""
    size, items = job.batch_size, job.items
    return {
        "job_id": job.id,
        "api_name": job.api,
        "kind": "BatchAPI",
        "config": dict(job.config),
        "workers": job.workers,
        "total_batch_count": None if size is None or items is None else -(-items // size),
        "start_time": datetime.fromtimestamp(job.submitted_at, UTC).isoformat().replace("+00:00", "Z"),
    }
