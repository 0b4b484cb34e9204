"""The records of each topic as messages of an AsyncAPI document, their schemas made from the models that write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, get_args

from pydantic import BaseModel

from stream_infer.dead_letters import ErrorHeader
from stream_infer.definitions import Definition, Report
from stream_infer.headers import Header
from stream_infer.jobs.checkpoints import Checkpoint
from stream_infer.jobs.deliveries import Delivery, Wish
from stream_infer.jobs.events import Event
from stream_infer.jobs.log_lines import LogLine
from stream_infer.jobs.manifest import ManifestRecord
from stream_infer.jobs.replays import Replayed, ReplayMark
from stream_infer.jobs.spec import Job
from stream_infer.jobs.status import JobStatus
from stream_infer.kafka import header_catalogue
from stream_infer.records import JSON, REFERENCE

Schema: TypeAlias = Mapping[str, Any]

REFERENCE_SCHEMA: Schema = {
    "type": "object",
    "description": "Where the value lies, that is too big for a message or never was in one.",
    "required": ["uri"],
    "properties": {
        "uri": {"type": "string", "description": "s3://, file://, http:// or https://"},
        "content_type": {"type": ["string", "null"], "description": "Of what lies there; else the place is asked."},
    },
}
_ANYTHING: Schema = {"description": "Any JSON, or bytes of the type that the header content-type names."}
_WORD: Schema = {
    "type": "object",
    "required": ["job_id", "generation"],
    "properties": {"job_id": {"type": "string"}, "generation": {"type": "integer", "minimum": 1}},
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of record. `payload` is a model, or a schema where no model writes it; `headers` are none where it has no
    headers that mean anything, `required` those that are always there."""

    name: str
    summary: str
    payload: type[BaseModel] | Schema
    headers: Sequence[Header | ErrorHeader] = ()
    required: Sequence[Header | ErrorHeader] = ()
    content_type: str = JSON


_ALWAYS_OF_RESULTS = (Header.CONTENT_TYPE, Header.ITEM_ID)
_ALWAYS_OF_LETTERS = (
    Header.ITEM_ID, Header.ATTEMPT, Header.WORKER, Header.API_VERSION, ErrorHeader.TOPIC, ErrorHeader.PARTITION,
    ErrorHeader.OFFSET, ErrorHeader.STAGE, ErrorHeader.EXCEPTION, ErrorHeader.MESSAGE, ErrorHeader.ORIGINAL_TOPIC,
    ErrorHeader.ORIGINAL_PARTITION, ErrorHeader.ORIGINAL_OFFSET,
)  # fmt: skip
_WAITING = (Header.ITEM_ID, Header.ATTEMPT, Header.NOT_BEFORE, Header.ORIGIN)

ITEMS = (
    Kind("item", "An item. Every header is optional.", _ANYTHING, header_catalogue.ITEM),
    Kind("itemByReference", "An item that lies elsewhere.", REFERENCE_SCHEMA, header_catalogue.ITEM,
         (Header.CONTENT_TYPE,), REFERENCE),
    Kind("jobComplete", "Not for producers: all items of a job have ended.", _WORD, header_catalogue.CONTROL,
         (Header.CONTROL, Header.JOB_ID)),
)  # fmt: skip
RETRIES = (
    Kind("waitingItem", "An item that waits for another attempt.", _ANYTHING, header_catalogue.RETRIED, _WAITING),
    Kind("waitingItemByReference", "The same of one that lies elsewhere.", REFERENCE_SCHEMA,
         header_catalogue.RETRIED, (*_WAITING, Header.CONTENT_TYPE), REFERENCE),
)  # fmt: skip
RESULTS = (
    Kind("result", "What the predictor said of an item, under its key.", _ANYTHING, header_catalogue.RESULT,
         _ALWAYS_OF_RESULTS),
    Kind("resultByReference", "An output that is too big for a message.", REFERENCE_SCHEMA, header_catalogue.RESULT,
         _ALWAYS_OF_RESULTS, REFERENCE),
)  # fmt: skip
DEAD_LETTERS = (
    Kind("deadLetter", "An item as it came, and why it was rejected.", _ANYTHING, header_catalogue.DEAD_LETTER,
         _ALWAYS_OF_LETTERS),
    Kind("deadLetterByReference", "The same of one that lies elsewhere, or is too big for this topic.",
         REFERENCE_SCHEMA, header_catalogue.DEAD_LETTER, (*_ALWAYS_OF_LETTERS, Header.CONTENT_TYPE), REFERENCE),
)  # fmt: skip
JOBS = (Kind("job", "A job as it was asked for, with what its API's settings add.", Job),)
CHECKPOINTS = (Kind("checkpoint", "How far a job's source has been published.", Checkpoint),)
# The tracker folds them in the order of the topic; `type` says which one it is.
PROGRESS = tuple(
    Kind(model.model_fields["type"].default, (model.__doc__ or "").partition("\n")[0], model)
    for model in get_args(Event)
)
STATUS = (Kind("status", "Where a job is. What has its usual value is left out.", JobStatus),)
MANIFESTS = (Kind("object", "An object that counts among a job's.", ManifestRecord),)
WEBHOOKS = (
    Kind("delivery", "An event of a job that is told, and how far that has come. Key: JOB/EVENT/GENERATION.", Delivery),
    Kind("wish", "That an event is told again. Key: JOB/EVENT/GENERATION/again.", Wish),
)
REPLAYS = (
    Kind("replayed", "A dead letter that runs again. Key: TOPIC-PARTITION-OFFSET.", Replayed),
    Kind("replay", "How far the last replay of a job has come. Key: job:JOB.", ReplayMark),
)
APIS = (Kind("definition", "An API that was deployed: one of its revisions. Key: API.", Definition),)
API_STATES = (Kind("report", "What has become of a revision in one place. Key: API/REVISION/HOST.", Report),)
LOGS = (Kind("logLine", "A line that bears a job's id.", LogLine),)


def models() -> list[type[BaseModel]]:
    """Those whose schemas the kinds refer to."""
    shared = (*JOBS, *CHECKPOINTS, *PROGRESS, *STATUS, *MANIFESTS, *WEBHOOKS, *REPLAYS, *APIS, *API_STATES, *LOGS)
    return [kind.payload for kind in shared if isinstance(kind.payload, type)]


def message(kind: Kind) -> dict[str, Any]:
    """Of `components.messages`."""
    payload = (
        {"$ref": f"#/components/schemas/{kind.payload.__name__}"} if isinstance(kind.payload, type) else kind.payload
    )
    headers = {"headers": _headers(kind)} if kind.headers else {}
    return {"name": kind.name, "summary": kind.summary, "contentType": kind.content_type, **headers, "payload": payload}


def _headers(kind: Kind) -> dict[str, Any]:
    """Names in any case; of two of one name the last one counts. Others than these may be there, and are carried on."""
    properties = {header.value: _header(header) for header in kind.headers}
    if kind.content_type != JSON:
        properties[Header.CONTENT_TYPE.value] |= {"const": kind.content_type}
    return {"type": "object", "required": [header.value for header in kind.required], "properties": properties}


def _header(header: Header | ErrorHeader) -> dict[str, Any]:
    meaning = header_catalogue.MEANINGS[header]
    pattern = {} if meaning.pattern is None else {"pattern": meaning.pattern}
    binary = {"format": "binary"} if meaning.is_binary else {}
    return {"type": "string", "description": meaning.says, **pattern, **binary}
