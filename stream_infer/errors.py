"""Everything that can go wrong, placed on the item's way.

    StreamInferError                exit 1
    ├── ItemError                   this item ends as a dead letter, at its stage; the rest goes on
    │   ├── UndecodableItem           its bytes are not what its content type says
    │   ├── RefusedItem               its reference is gone, forbidden, too large or outside what is allowed
    │   ├── RefusedOutput             the predictor's answer for it cannot be written down
    │   ├── UnshapableInput           its job's input filter cannot be applied to it
    │   └── UnshapableOutput          its job's output filter cannot be applied to what came out
    ├── JobRefused                  this job's items cannot be served: it fails
    ├── RetryableError              nobody's fault: the same item may succeed later
    ├── TransactionAborted          nothing of the transaction is visible; what was in it can be sent again
    ├── FatalError                  this process cannot go on as it is
    │   ├── Fenced                    another process has taken over; forget everything not committed
    │   ├── ReaderStalled             librdkafka has stopped reading; only a new process helps
    │   └── PredictorUnavailable      the model cannot be imported, loaded or warmed up
    ├── UsageError                  exit 2: the user has to change something
    │   ├── ConfigError               in stream-infer.yaml, the environment or the flags
    │   ├── NoLinks                   the store has no links that others could follow
    │   ├── TopicMismatch             a topic is missing, or is not what the configuration says
    │   └── SourceError               a job's source is missing, empty, forbidden or malformed
    └── ServiceUnavailable          exit 3: Kafka, the object store or the gateway cannot be reached

`kafka/errors.py` translates librdkafka's errors into these, `connectors/` those of boto3 and aiohttp.
"""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """Where on its way an item failed. Written to `__connect.errors.stage`."""

    FETCH = "fetch"
    INPUT_FILTER = "input-filter"
    DECODE = "decode"
    PREPROCESS = "preprocess"
    PREDICT = "predict"
    ENCODE = "encode"
    OUTPUT_FILTER = "output-filter"
    DELIVER = "deliver"


class StreamInferError(Exception):
    """Base of all errors whose message is meant for a person: what, where, and what to do."""

    exit_code = 1


class ItemError(StreamInferError):
    """One item cannot be served. A predictor may raise or return it too."""

    stage = Stage.PREDICT


class UndecodableItem(ItemError):
    """The item's bytes are not what its content type says."""

    stage = Stage.DECODE


class RefusedItem(ItemError):
    """The item's reference is gone, forbidden, too large, or outside what the settings allow."""

    stage = Stage.FETCH


class RefusedOutput(ItemError):
    """The predictor's output for the item cannot be serialised."""

    stage = Stage.ENCODE


class UnshapableInput(ItemError):
    """The input filter of the item's job cannot be applied to the item."""

    stage = Stage.INPUT_FILTER


class UnshapableOutput(ItemError):
    """The output filter of the item's job cannot be applied to its output."""

    stage = Stage.OUTPUT_FILTER


class RetryableError(StreamInferError):
    """A passing fault. `retry_after` is the service's own wish in seconds, where it had one."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TransactionAborted(StreamInferError):
    """Nothing of the transaction is visible; what was in it can be sent again."""


class FatalError(StreamInferError):
    """This process, or the component that raised it, cannot go on as it is."""


class Fenced(FatalError):
    """Another process has taken over this one's work, or its transaction outlived its timeout."""


class ReaderStalled(FatalError):
    """librdkafka has stopped reading partitions in which there is something to read. A new process reads on."""


class PredictorUnavailable(FatalError):
    """The predictor cannot be imported, loaded or warmed up: no item's fault."""

    exit_code = 2


class JobRefused(StreamInferError):
    """A predictor that has an instance for each job could not make this job's: all of its items fail alike."""


class UsageError(StreamInferError):
    """The user asked for something that cannot be done as it stands."""

    exit_code = 2


class ConfigError(UsageError):
    """stream-infer.yaml, the environment or a flag is wrong."""


class NoLinks(UsageError):
    """The store has no links that others could follow, or none for so long."""


class TopicMismatch(UsageError):
    """A topic is missing, or is not what the configuration says."""


class SourceError(UsageError):
    """A job's source is missing, empty, forbidden or malformed; fails the job, never the process."""


class ServiceUnavailable(StreamInferError):
    """Kafka, the object store or the gateway cannot be reached."""

    exit_code = 3
