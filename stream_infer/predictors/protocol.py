"""What a predictor looks like. Users write such a class; nothing needs to be inherited or imported.

    class Shouter:
        def __init__(self, config):
            self.mark = config.get("mark", "!")

        def predict(self, items):
            return [item["text"].upper() + self.mark for item in items]

Where an item's failure is to be named more precisely than by any exception, `stream_infer.errors` has the words:
`ItemError` and its kinds end the item as a dead letter, `RetryableError` lets it come back later.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from stream_infer.errors import ItemError


class Predictor(Protocol):
    """The one method that a predictor must have; it is constructed with its `config`, a mapping.

    It may also have, each found by its name:

    `decode(data, content_type)` makes an item of its bytes, in place of what its content type says; an exception ends
    that item alone.

    `preprocess(item)` runs in threads, for one item, while the model works on the micro-batch before; what it returns
    stands in the item's place in `predict`. An exception ends that item alone.

    `collate(items)` runs in a thread of its own, while the model works on the micro-batch before, for what `preprocess`
    has left of a micro-batch's items, in their order, never for none. What it returns is what `predict` is called with
    in place of the list: a tensor on the device, say. An exception counts like one that `predict` raises.

    `warmup()` runs once before the first item; the worker is not ready until it returns.

    `example()` returns an item as `preprocess`, or else `predict`, gets it. It is what `max_batch_size: auto` is found
    with: `predict`, after `collate`, is called with the same item many times over before the first one.

    `on_job_complete(job)` runs once all items of a job have ended; `job` is a `Job`. It may be called again after a
    crash.
    """

    def predict(self, items: Any) -> Sequence[Any]:
        """One output per item, in their order; `items` is a list, or what `collate` made of it.

        An item is what its content type says: JSON as Python values, text as str, everything else as bytes. An output
        is anything JSON can carry (numpy arrays and tensors too), bytes, or a `Payload` of bytes and their type. None:
        nothing is stored, the item counts as succeeded. An exception in place of an output rejects that item. An
        exception that is raised makes the micro-batch be tried again in halves, down to the items that are to blame; a
        raised RetryableError lets all of it come back later.
        """
        ...


@dataclass(frozen=True, slots=True)
class Raised:
    """In place of an output: what was raised for that item alone. Unlike an exception that stands there itself, the
    predictor's word on the item, it counts as if `predict` had raised it: the item gets its further attempts."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Job:
    """A job, as `on_job_complete` sees it once its items have all ended, and a job-scoped predictor from its first one.

    `batch_size` is the most items of a call that it asked for, `items` how many it has, where that was known when it
    was submitted; `submitted_at` is in seconds since the epoch.
    """

    id: str
    config: Mapping[str, Any]
    api: str = ""
    workers: int = 1
    batch_size: int | None = None
    items: int | None = None
    submitted_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Batch:
    """A micro-batch of one job's items, None: of items without a job. `id` follows from which items they are."""

    id: str
    job: Job | None


class JobScoped(ABC):
    """An adapter that has an instance for each job, and so never sees two jobs' items in one call.

    `predict` is for items that come without any of this, as those of a folder do. To be inherited, not found by its
    methods' names: a class of a user's may well have a `predict_batch` that means something else.
    """

    @abstractmethod
    def predict(self, items: Any) -> Sequence[Any]: ...

    @abstractmethod
    def holds(self, job: Job | None) -> bool:
        """Whether the job's instance is there."""
        ...

    @abstractmethod
    def load(self, job: Job | None) -> None:
        """Makes the job's instance, which may take as long as loading a predictor does.

        Raises JobRefused where its constructor failed. Whether it is tried again is the engine's business.
        """
        ...

    @abstractmethod
    def predict_batch(self, items: Sequence[Any], batch: Batch) -> Sequence[Any]:
        """As `predict`, with the instance of the batch's job, which `load` has made."""
        ...

    @abstractmethod
    def forget(self, job_id: str) -> None:
        """The job has ended, here or elsewhere: its instance is not needed any more."""
        ...


class Request(NamedTuple):
    """An item that came as an HTTP request, for the adapters of predictors that want to see it (`sees_requests`).

    `payload` is what its content type says, as with any item; header names are in lower case; `query` as it came.
    """

    payload: Any
    content_type: str
    headers: Mapping[str, str]
    query: str


class WrongNumberOfOutputs(ItemError):
    """The predictor did not return one output per item."""
