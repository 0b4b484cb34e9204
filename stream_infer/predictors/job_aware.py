"""A native class whose `predict(self, items, job)` wants to know whose items it gets: those of one job in each call."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from stream_infer.errors import PredictorUnavailable
from stream_infer.predictors.protocol import Batch, Job, JobScoped

_OPTIONAL = ("decode", "preprocess", "collate", "warmup", "example", "on_job_complete")


class JobAware(JobScoped):
    """A JobScoped predictor (see protocol.py) of one instance for all jobs. What else the class has, it has as well."""

    def __init__(self, predictor: Any) -> None:
        self._predictor = predictor
        for name in _OPTIONAL:
            if (method := getattr(predictor, name, None)) is not None:
                setattr(self, name, method)

    def predict(self, items: Any) -> Sequence[Any]:
        outputs: Sequence[Any] = self._predictor.predict(items, None)
        return outputs

    def predict_batch(self, items: Any, batch: Batch) -> Sequence[Any]:
        outputs: Sequence[Any] = self._predictor.predict(items, batch.job)
        return outputs

    def holds(self, _job: Job | None) -> bool:
        return True

    def load(self, job: Job | None) -> None:
        """There is nothing to be made for a job."""

    def forget(self, job_id: str) -> None:
        """Nothing was kept of it."""


def job_aware(predictor: Any) -> JobAware:
    """Under the name of the predictor's own class, which is what people know it by."""
    cls = type(predictor)
    named: type[JobAware] = type(
        cls.__name__, (JobAware,), {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    )
    return named(predictor)


def require_job(cls: Any, what: str) -> None:
    """Raises PredictorUnavailable where `predict` does not take the job."""
    try:
        inspect.signature(cls.predict).bind(None, [], None)
    except TypeError as error:
        raise PredictorUnavailable(
            f"{what} cannot be called with a job, as predictor.job_scoped says ({error}): "
            "write def predict(self, items, job)"
        ) from error
    except ValueError:  # a method in C without a signature: the first call will tell
        return
