"""What each header means, and which records bear it: the AsyncAPI document is made of it."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, NamedTuple

from stream_infer.dead_letters import ErrorHeader
from stream_infer.headers import Header
from stream_infer.records import Control


class HeaderMeaning(NamedTuple):
    """`pattern`: what its text has to be, where that is not anything. `is_binary`: no text, but a big-endian number."""

    says: str
    pattern: str | None = None
    is_binary: bool = False


_COUNT = r"^[0-9]{1,18}$"
_TIME = r"^[0-9]{1,12}(\.[0-9]{1,9})?$"

MEANINGS: Final = MappingProxyType(
    {
        Header.CONTENT_TYPE: HeaderMeaning("of the value; application/json unless given"),
        Header.JOB_ID: HeaderMeaning("the job that it counts in; none: it belongs to no job"),
        Header.ITEM_ID: HeaderMeaning("the item's name; else TOPIC-PARTITION-OFFSET of where it was first read"),
        Header.CUSTOM_ID: HeaderMeaning("the producer's own id, carried to the result"),
        Header.SOURCE: HeaderMeaning("where it came from: a URI, with #LINE where it is one of a file"),
        Header.ATTEMPT: HeaderMeaning("which attempt this is; 1 unless given", _COUNT),
        Header.NOT_BEFORE: HeaderMeaning("seconds since 1970; it is not tried before", _TIME),
        Header.DEADLINE: HeaderMeaning("seconds since 1970; later it becomes a dead letter", _TIME),
        Header.GENERATION: HeaderMeaning("of its job: 1 unless given, one more with each replay", _COUNT),
        Header.TRACEPARENT: HeaderMeaning("W3C Trace Context: whose trace it belongs to"),
        Header.TRACESTATE: HeaderMeaning("W3C Trace Context, beside traceparent"),
        Header.RETRY_SINCE: HeaderMeaning("seconds since 1970: since when a service has asked to come later", _TIME),
        Header.ORIGIN: HeaderMeaning("TOPIC/PARTITION/OFFSET of where it was first read"),
        Header.CONTROL: HeaderMeaning("no item but a word of the finalizer", f"^{Control.ON_JOB_COMPLETE.value}$"),
        Header.RESULT_FORMAT: HeaderMeaning("how it is to lie in the store, where not as a line of JSON"),
        Header.UNREADABLE: HeaderMeaning("why its own headers could not be read, and are gone"),
        Header.REFUSED: HeaderMeaning("why its source could not give it: it becomes a dead letter with this reason"),
        Header.WORKER: HeaderMeaning("who rejected it"),
        Header.API_VERSION: HeaderMeaning("a hash of the API's configuration"),
        Header.FAILED_AT: HeaderMeaning(
            "seconds since 1970: when it failed; written once those before it ended", _TIME
        ),
        Header.CLOUDEVENTS_ID: HeaderMeaning("CloudEvents' id: the custom id, unless si-custom-id is given"),
        Header.CLOUDEVENTS_TYPE: HeaderMeaning("CloudEvents' content type, unless content-type is given"),
        ErrorHeader.TOPIC: HeaderMeaning("where the item was first read"),
        ErrorHeader.PARTITION: HeaderMeaning("where the item was first read", _COUNT),
        ErrorHeader.OFFSET: HeaderMeaning("where the item was first read", _COUNT),
        ErrorHeader.STAGE: HeaderMeaning("what was done to it when it failed"),
        ErrorHeader.CLASS_NAME: HeaderMeaning("the predictor"),
        ErrorHeader.EXCEPTION: HeaderMeaning("the full name of what was raised"),
        ErrorHeader.MESSAGE: HeaderMeaning("what it says, at most 4 KiB"),
        ErrorHeader.STACKTRACE: HeaderMeaning("at most 16 KiB, the middle cut out"),
        ErrorHeader.ORIGINAL_TOPIC: HeaderMeaning("as Spring says it: where the item was first read"),
        ErrorHeader.ORIGINAL_PARTITION: HeaderMeaning("as Spring says it: 4 bytes", is_binary=True),
        ErrorHeader.ORIGINAL_OFFSET: HeaderMeaning("as Spring says it: 8 bytes", is_binary=True),
        ErrorHeader.ORIGINAL_TIMESTAMP: HeaderMeaning(
            "as Spring says it: 8 bytes, milliseconds since 1970; not of an item that was retried", is_binary=True
        ),
        ErrorHeader.ORIGINAL_GROUP: HeaderMeaning("as Spring says it: the workers' group"),
        ErrorHeader.SPRING_EXCEPTION: HeaderMeaning("as Spring says it: the full name of what was raised"),
        ErrorHeader.SPRING_MESSAGE: HeaderMeaning("as Spring says it: what it says"),
    }
)

ITEM: Final = (
    Header.CONTENT_TYPE, Header.ITEM_ID, Header.CUSTOM_ID, Header.SOURCE, Header.JOB_ID, Header.GENERATION,
    Header.NOT_BEFORE, Header.DEADLINE, Header.TRACEPARENT, Header.TRACESTATE, Header.CLOUDEVENTS_ID,
    Header.CLOUDEVENTS_TYPE, Header.REFUSED,
)  # fmt: skip
RETRIED: Final = (*ITEM, Header.ATTEMPT, Header.RETRY_SINCE, Header.ORIGIN)
CONTROL: Final = (Header.CONTROL, Header.JOB_ID, Header.GENERATION, Header.TRACEPARENT, Header.TRACESTATE)
RESULT: Final = (
    Header.CONTENT_TYPE, Header.ITEM_ID, Header.CUSTOM_ID, Header.SOURCE, Header.JOB_ID, Header.GENERATION,
    Header.RESULT_FORMAT, Header.TRACEPARENT, Header.TRACESTATE,
)  # fmt: skip
DEAD_LETTER: Final = (
    *RETRIED, *ErrorHeader, Header.WORKER, Header.API_VERSION, Header.FAILED_AT, Header.UNREADABLE
)  # fmt: skip
