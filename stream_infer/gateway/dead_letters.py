"""`…/dlq` of an API or a job: its dead letters, the newest first, and one with all that it carries."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from stream_infer.dead_letters import DeadLetter, read_dead_letter
from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.jobs import answer
from stream_infer.gateway.json_text import MalformedJson, parse_json
from stream_infer.gateway.problems import Problem, ProblemKind
from stream_infer.gateway.representations import (
    DeadLetterBody,
    DeadLetterDetail,
    DeadLetterGroup,
    DeadLetterList,
    HeaderBody,
    Place,
)
from stream_infer.gateway.requests import integer, read_query
from stream_infer.gateway.services import Services
from stream_infer.kafka.views import TopicReader
from stream_infer.records import JSON, Message, Position
from stream_infer.settings import KafkaSettings

SCANNED_PER_PARTITION = 20_000
SCAN_TIMEOUT_S = 20.0
FIND_TIMEOUT_S = 10.0
_REF = re.compile(r"(\d{1,9})-(\d{1,18})", re.ASCII)


@dataclass(slots=True)
class Scan:
    """What a look through the end of a topic found. `kept` are the newest of each partition."""

    groups: Counter[tuple[str, str]] = field(default_factory=Counter)
    kept: list[DeadLetterBody] = field(default_factory=list)
    scanned: int = 0
    is_complete: bool = True


class DeadLettersResource:
    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/apis/{api}/dlq", self.list_dead_letters),
            web.get("/v1/apis/{api}/dlq/{ref}", self.get_dead_letter),
            web.get("/v1/jobs/{job_id}/dlq", self.list_dead_letters),
            web.get("/v1/jobs/{job_id}/dlq/{ref}", self.get_dead_letter),
        ]

    async def list_dead_letters(self, request: web.Request) -> web.Response:
        limit = integer(read_query(request, ("limit",)), "limit", 100, 1, 1000)
        topic, job_id = await self._place(request)
        scan = await self._services.block(lambda: scan_topic(self._services.settings.kafka, topic, job_id, limit))
        newest = sorted(scan.kept, key=lambda entry: entry.timestamp, reverse=True)[:limit]
        groups = [
            DeadLetterGroup(stage=stage, exception=exception, count=count)
            for (stage, exception), count in scan.groups.most_common()
        ]
        return answer(
            DeadLetterList(dead_letters=newest, groups=groups, scanned=scan.scanned, is_complete=scan.is_complete)
        )

    async def get_dead_letter(self, request: web.Request) -> web.Response:
        read_query(request, ())
        topic, job_id = await self._place(request)
        ref = request.match_info["ref"]
        match = _REF.fullmatch(ref)
        place = None if match is None else Position(topic, int(match[1]), int(match[2]))
        if place is None:
            detail = f"{ref[:100]!r} is no reference: it is PARTITION-OFFSET, as the list of dead letters gives it."
            raise Problem(ProblemKind.UNKNOWN_DEAD_LETTER, detail)
        message = await self._services.block(lambda: find_record(self._services.settings.kafka, place))
        letter = None if message is None else read_dead_letter(message)
        if letter is None or (job_id is not None and letter.item.job_id != job_id):
            owner = f"job {job_id}" if job_id is not None else topic
            detail = f"{owner} has no dead letter {ref}: there never was one, or its retention is over."
            raise Problem(ProblemKind.UNKNOWN_DEAD_LETTER, detail)
        return answer(dead_letter_detail(letter))

    async def _place(self, request: web.Request) -> tuple[str, str | None]:
        """The topic to look at, and the job whose dead letters are meant, if it is one's."""
        if "api" in request.match_info:
            return self._services.topics.api(self._services.api(request.match_info["api"]).name).dlq, None
        job = (await self._services.job(request.match_info["job_id"])).job
        return self._services.topics.api(job.api).dlq, job.job_id


def scan_topic(kafka: KafkaSettings, topic: str, job_id: str | None, limit: int) -> Scan:
    """The newest `limit` dead letters of each partition, and what all that were looked at have in common.

    Looks at the last 20,000 offsets of a partition and no longer than 20 s: a dead letter may have megabytes. Blocks.
    """
    reader = TopicReader(kafka, topic)
    try:
        ends = reader.ends()
    finally:
        reader.close()
    scan = Scan()
    deadline = time.monotonic() + SCAN_TIMEOUT_S
    for partition, end in ends.items():
        _scan_partition(kafka, Position(topic, partition, end), job_id, limit, deadline, scan)
    return scan


def _scan_partition(
    kafka: KafkaSettings, end: Position, job_id: str | None, limit: int, deadline: float, scan: Scan
) -> None:
    if end.offset == 0:
        return
    start = max(0, end.offset - SCANNED_PER_PARTITION)
    scan.is_complete &= start == 0
    newest: deque[DeadLetterBody] = deque(maxlen=limit)
    reader = TopicReader(kafka, end.topic, [end.partition], start=start)
    try:
        while not reader.has_reached({end.partition: end.offset}):
            if time.monotonic() > deadline:
                scan.is_complete = False
                break
            for message in reader.poll(0.1):
                letter = read_dead_letter(message)
                scan.scanned += 1
                if job_id is None or letter.item.job_id == job_id:
                    scan.groups[letter.failure.stage.value, letter.failure.exception] += 1
                    newest.append(dead_letter_body(letter))
    finally:
        reader.close()
    scan.kept += newest


def find_record(kafka: KafkaSettings, place: Position, timeout_s: float = FIND_TIMEOUT_S) -> Message | None:
    """The record at `place`, or None where there is none (any more). Blocks."""
    reader = TopicReader(kafka, place.topic)
    try:
        end = reader.ends().get(place.partition, 0)
    finally:
        reader.close()
    if place.offset >= end:
        return None
    deadline = time.monotonic() + timeout_s
    reader = TopicReader(kafka, place.topic, [place.partition], start=place.offset)
    try:
        while time.monotonic() < deadline:
            for message in reader.poll(0.1, max_records=1):
                return message if message.offset == place.offset else None
            if reader.has_reached({place.partition: end}):
                return None
        raise ServiceUnavailable(f"reading {place.topic}[{place.partition}]@{place.offset} took over {timeout_s:.0f} s")
    finally:
        reader.close()


def dead_letter_body(letter: DeadLetter) -> DeadLetterBody:
    return DeadLetterBody(**_summary(letter))


def dead_letter_detail(letter: DeadLetter) -> DeadLetterDetail:
    item = letter.item
    payload, encoding = readable(item.message.value, item.content_type)
    return DeadLetterDetail(
        **_summary(letter),
        content_type=item.content_type,
        payload=payload,
        payload_encoding=encoding,
        payload_bytes=len(item.message.value or b""),
        headers=[_header(name, value) for name, value in item.message.headers],
        stacktrace=letter.failure.stacktrace,
    )


def readable(value: bytes | None, content_type: str) -> tuple[Any, Literal["json", "text", "base64", "none"]]:
    """A payload as a person can read it best, and how it is given."""
    if value is None:
        return None, "none"
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
        "ref": f"{message.partition}-{message.offset}",
        "item_id": item.item_id,
        "job_id": item.job_id,
        "custom_id": item.custom_id,
        "source": item.source,
        "key": None if message.key is None else message.key.decode(errors="replace"),
        "stage": failure.stage.value,
        "exception": failure.exception,
        "message": failure.message,
        "attempt": item.attempt,
        "timestamp": message.timestamp_ms / 1000,
        "origin": Place(topic=letter.origin.topic, partition=letter.origin.partition, offset=letter.origin.offset),
        "worker": letter.worker,
        "api_version": letter.api_version,
    }


def _header(name: str, value: bytes | None) -> HeaderBody:
    if value is None:
        return HeaderBody(name=name)
    try:
        return HeaderBody(name=name, value=value.decode())
    except UnicodeDecodeError:
        return HeaderBody(name=name, base64=b64encode(value).decode())
