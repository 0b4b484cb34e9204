"""The bodies about dead letters: what is asked and answered. The OpenAPI document is made from these models."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stream_infer.dead_letters import DeadLetter, Writer
from stream_infer.gateway.representations import LogLineBody, log_line_body
from stream_infer.http.json_text import MalformedJson, parse_json
from stream_infer.jobs.log_lines import LogLine
from stream_infer.records import JSON

MOST_REFS = 1000


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True)


class Place(_Body):
    topic: str
    partition: int
    offset: int


class DeadLetterBody(_Body):
    """A dead letter. `ref` names it in this API's topic; `timestamp` is in seconds since 1970.

    `writer` says whose headers give the reason; `stage` is what that writer calls it. `is_replayed`: it runs again.
    """

    ref: str
    item_id: str
    job_id: str | None = None
    custom_id: str | None = None
    source: str | None = None
    key: str | None = None
    stage: str
    exception: str
    message: str
    attempt: int
    timestamp: float
    origin: Place
    worker: str
    api_version: str
    writer: Writer = Writer.WORKER
    is_replayed: bool = False


class HeaderBody(_Body):
    """`value` is text; where it is no UTF-8, `base64` has its bytes."""

    name: str
    value: str | None = None
    base64: str | None = None


class DeadLetterDetail(DeadLetterBody):
    """With all that it carries. `payload_encoding`: json (a value), text, or base64.

    A payload that was too big for the dead letter is brought from the store; where it is gone, its reference is shown.
    """

    content_type: str
    payload: Any
    payload_encoding: Literal["json", "text", "base64", "none"]
    payload_bytes: int
    headers: list[HeaderBody]
    stacktrace: str
    log: list[LogLineBody] = Field(
        default_factory=list, description="What workers said of its job within 5 s, the 200 nearest lines."
    )


class DeadLetterGroup(_Body):
    """What failed alike: how many, from when to when (seconds since 1970), and the newest of them."""

    stage: str
    exception: str
    count: int
    first: float = 0.0
    last: float = 0.0
    example: str = Field(default="", description="The ref of one of them.")
    message: str = ""


class DeadLetterList(_Body):
    """The newest first. `groups` count all of the `scanned` records that are meant, not only those listed.

    `replayed` are left out of both, unless asked for. `is_complete` False: the topic has older records that were not
    looked at.
    """

    dead_letters: list[DeadLetterBody]
    groups: list[DeadLetterGroup]
    scanned: int
    replayed: int = 0
    is_complete: bool


class ReplayRequest(BaseModel):
    """Which dead letters are to run again: those of `refs`, or all that every one of the other fields is true of.

    `exception` is a class's full name or its last part, `message` a part of the message. Nothing at all means all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    refs: list[str] | None = Field(default=None, min_length=1, max_length=MOST_REFS)
    stage: str | None = None
    exception: str | None = None
    message: str | None = None


class RefusedReplay(_Body):
    """A dead letter that cannot run again, and why."""

    ref: str
    reason: str


class ReplayBody(_Body):
    """How far a replay has come. Items of a job run again in its `generation`, None while there was nothing to replay.

    `already_replayed` of those asked for run again since an earlier replay; `of_jobs` belong to a job each, and are
    replayed with it; `unknown` are refs at which nothing lies. `is_complete` False: the gateway goes on with it.
    """

    api_name: str
    job_id: str | None = None
    generation: int | None = None
    replayed: int = 0
    already_replayed: int = 0
    of_jobs: int = 0
    refused: list[RefusedReplay] = Field(default_factory=list, description="The first 100 of them.")
    unknown: list[str] = Field(default_factory=list)
    is_complete: bool = True


def dead_letter_body(letter: DeadLetter, *, is_replayed: bool) -> DeadLetterBody:
    return DeadLetterBody(**_summary(letter), is_replayed=is_replayed)


def dead_letter_detail(
    letter: DeadLetter,
    payload: bytes | None,
    content_type: str,
    *,
    is_replayed: bool,
    raw: bool = False,
    log: Sequence[LogLine] = (),
) -> DeadLetterDetail:
    """`payload` is the item's own, wherever it lay. `raw`: in base64 whatever it is, so that no byte changes."""
    shown, encoding = readable(payload, "" if raw else content_type, raw=raw)
    return DeadLetterDetail(
        **_summary(letter),
        is_replayed=is_replayed,
        content_type=content_type,
        payload=shown,
        payload_encoding=encoding,
        payload_bytes=len(payload or b""),
        headers=[_header(name, value) for name, value in letter.item.message.headers],
        stacktrace=letter.failure.stacktrace,
        log=[log_line_body(line) for line in log],
    )


def readable(
    value: bytes | None, content_type: str, *, raw: bool = False
) -> tuple[Any, Literal["json", "text", "base64", "none"]]:
    """A payload as a person can read it best, and how it is given."""
    if value is None:
        return None, "none"
    if raw:
        return b64encode(value).decode(), "base64"
    kind = content_type.partition(";")[0].strip().lower()
    if kind == JSON or kind.endswith("+json"):
        try:
            return parse_json(value), "json"
        except MalformedJson:
            pass  # shown as it is: that may be why it is a dead letter
    try:
        return value.decode(), "text"
    except UnicodeDecodeError:
        return b64encode(value).decode(), "base64"


def _summary(letter: DeadLetter) -> dict[str, Any]:
    item, failure = letter.item, letter.failure
    message = item.message
    return {
        "ref": letter.ref,
        "item_id": item.item_id,
        "job_id": letter.job_id,
        "custom_id": item.custom_id,
        "source": item.source,
        "key": None if message.key is None else message.key.decode(errors="replace"),
        "stage": letter.stage,
        "exception": failure.exception,
        "message": failure.message,
        "attempt": item.attempt,
        "timestamp": message.timestamp_ms / 1000,
        "origin": Place(topic=letter.origin.topic, partition=letter.origin.partition, offset=letter.origin.offset),
        "worker": letter.worker,
        "api_version": letter.api_version,
        "writer": letter.writer,
    }


def _header(name: str, value: bytes | None) -> HeaderBody:
    if value is None:
        return HeaderBody(name=name)
    try:
        return HeaderBody(name=name, value=value.decode())
    except UnicodeDecodeError:
        return HeaderBody(name=name, base64=b64encode(value).decode())
