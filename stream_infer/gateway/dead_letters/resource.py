"""`…/dlq` of an API or a job: its dead letters by reason and the newest first, one with all it carries, all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from aiohttp import web

from stream_infer.dead_letters import DeadLetter, read_dead_letter
from stream_infer.gateway.dead_letters.bodies import DeadLetterDetail, DeadLetterList, dead_letter_detail
from stream_infer.gateway.dead_letters.log import lines_around
from stream_infer.gateway.dead_letters.originals import Irrecoverable, original_of
from stream_infer.gateway.dead_letters.payload import Held, held_by, payload_answer, payload_of
from stream_infer.gateway.dead_letters.search import Filter, all_letters, find_record, parse_ref, scan_topic
from stream_infer.gateway.services import Services
from stream_infer.gateway.streams import send_lines
from stream_infer.http.answers import answer
from stream_infer.http.json_text import to_json
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.http.requests import flag, integer, read_query
from stream_infer.jobs.log_lines import LogLine
from stream_infer.jobs.replays import Replays, read_replays, replays_partition
from stream_infer.records import Position

MAX_EXPORTS = 4
MAX_PAYLOADS = 8
_FILTERS = ("stage", "exception", "message", "replayed")


class DeadLettersResource:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._exports = 0
        self._payloads = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            route
            for owner in ("/v1/apis/{api}", "/v1/jobs/{job_id}")
            for route in (
                web.get(f"{owner}/dlq", self.list_dead_letters),
                web.get(f"{owner}/dlq/export", self.export, allow_head=False),
                web.get(f"{owner}/dlq/{{ref}}", self.get_dead_letter),
                web.get(f"{owner}/dlq/{{ref}}/payload", self.get_payload, allow_head=False),
            )
        ]

    async def list_dead_letters(self, request: web.Request) -> web.Response:
        query = read_query(request, ("limit", *_FILTERS))
        limit = integer(query, "limit", 100, 1, 1000)
        with_replayed = flag(query, "replayed")
        topic, job_id = await place_of(self._services, request)
        wanted = _filter(query, job_id)

        def scan() -> DeadLetterList:
            found = scan_topic(
                self._services.settings.kafka, topic, wanted, self._replays(topic, job_id), limit,
                with_replayed=with_replayed,
            )  # fmt: skip
            return DeadLetterList(
                dead_letters=sorted(found.kept, key=lambda entry: entry.timestamp, reverse=True)[:limit],
                groups=sorted(found.groups.values(), key=lambda group: -group.count),
                scanned=found.scanned,
                replayed=found.replayed,
                is_complete=found.is_complete,
            )

        return answer(await self._services.block(scan))

    async def get_dead_letter(self, request: web.Request) -> web.Response:
        place, job_id = await self._place_of_one(request)
        detail = await self._services.block(lambda: self._look(place, job_id))
        if detail is None:
            raise _no_letter(place, job_id)
        return answer(detail)

    async def get_payload(self, request: web.Request) -> web.Response:
        """Its bytes; those of a reference are fetched."""
        place, job_id = await self._place_of_one(request)
        if self._payloads >= MAX_PAYLOADS:
            raise Problem(ProblemKind.BUSY, f"{MAX_PAYLOADS} payloads are being brought here already. Try again later.")
        self._payloads += 1
        try:
            held = await self._services.block(lambda: self._held(place, job_id))
            if held is None:
                raise _no_letter(place, job_id)
            return payload_answer(await payload_of(held, self._services.fetcher))
        finally:
            self._payloads -= 1

    async def export(self, request: web.Request) -> web.StreamResponse:
        """All of them as JSON lines, in constant memory; with `payload=base64` to the byte."""
        query = read_query(request, (*_FILTERS, "payload"))
        with_replayed, raw = flag(query, "replayed"), _is_raw(query)
        topic, job_id = await place_of(self._services, request)
        wanted = _filter(query, job_id)
        if self._exports >= MAX_EXPORTS:
            raise Problem(ProblemKind.BUSY, f"{MAX_EXPORTS} exports are being read here already. Try again later.")
        self._exports += 1
        try:
            lines = self._lines(topic, wanted, with_replayed=with_replayed, raw=raw)
            return await send_lines(request, lines, self._services.block)
        finally:
            self._exports -= 1

    def _lines(self, topic: str, wanted: Filter, *, with_replayed: bool, raw: bool) -> Iterator[bytes]:
        replays = self._replays(topic, wanted.job_id)
        for letter in all_letters(self._services.settings.kafka, topic):
            is_replayed = replays.has(letter.position)
            if wanted.takes(letter) and (with_replayed or not is_replayed):
                yield to_json(self._detail(letter, is_replayed=is_replayed, raw=raw)) + b"\n"

    async def _place_of_one(self, request: web.Request) -> tuple[Position, str | None]:
        """The record that is meant, and the job whose it has to be, if it is one's."""
        read_query(request, ())
        topic, job_id = await place_of(self._services, request)
        ref = request.match_info["ref"]
        place = parse_ref(ref)
        if place is None:
            raise no_reference(ref)
        return Position(topic, *place), job_id

    def _letter(self, place: Position, job_id: str | None) -> DeadLetter | None:
        message = find_record(self._services.settings.kafka, place)
        letter = None if message is None else read_dead_letter(message)
        return letter if letter is not None and job_id in (None, letter.job_id) else None

    def _held(self, place: Position, job_id: str | None) -> Held | None:
        letter = self._letter(place, job_id)
        return None if letter is None else held_by(letter, self._services.store)

    def _look(self, place: Position, job_id: str | None) -> DeadLetterDetail | None:
        letter = self._letter(place, job_id)
        if letter is None:
            return None
        is_replayed = self._replays(place.topic, job_id).has(place)
        at = letter.item.message.timestamp_ms / 1000 if letter.failed_at is None else letter.failed_at
        log = [] if letter.job_id is None else lines_around(self._services.settings, letter.job_id, at)
        return self._detail(letter, is_replayed=is_replayed, log=log)

    def _detail(
        self, letter: DeadLetter, *, is_replayed: bool, raw: bool = False, log: Sequence[LogLine] = ()
    ) -> DeadLetterDetail:
        message = letter.item.message
        try:
            original = original_of(letter, self._services.store)
            value, content_type = original.value, original.content_type
        except Irrecoverable:
            value, content_type = message.value, letter.item.content_type
        return dead_letter_detail(letter, value, content_type, is_replayed=is_replayed, raw=raw, log=log)

    def _replays(self, topic: str, job_id: str | None) -> Replays:
        """Of a job those in its partition; of an API all, since its dead letters belong to many jobs."""
        services = self._services
        count = services.settings.jobs.partitions
        partitions = None if job_id is None else [replays_partition(job_id, topic, count)]
        return read_replays(services.settings.kafka, services.topics.replays, partitions, job_id=job_id)


async def place_of(services: Services, request: web.Request) -> tuple[str, str | None]:
    """The topic to look at, and the job whose dead letters are meant, if it is one's."""
    if "api" in request.match_info:
        return services.topics.api(services.api(request.match_info["api"]).name).dlq, None
    job = (await services.job(request.match_info["job_id"])).job
    return services.topics.api(job.api).dlq, job.job_id


def no_reference(ref: str) -> Problem:
    detail = f"{ref[:100]!r} is no reference: it is PARTITION-OFFSET, as the list of dead letters gives it."
    return Problem(ProblemKind.UNKNOWN_DEAD_LETTER, detail)


def _no_letter(place: Position, job_id: str | None) -> Problem:
    owner = f"job {job_id}" if job_id is not None else place.topic
    ref = f"{place.partition}-{place.offset}"
    said = f"{owner} has no dead letter {ref}: there never was one, or its retention is over."
    return Problem(ProblemKind.UNKNOWN_DEAD_LETTER, said)


def _filter(query: Mapping[str, str], job_id: str | None) -> Filter:
    return Filter(job_id, query.get("stage"), query.get("exception"), query.get("message"))


def _is_raw(query: Mapping[str, str]) -> bool:
    given = query.get("payload", "readable")
    if given not in ("readable", "base64"):
        raise Problem(ProblemKind.INVALID_QUERY, f"payload={given[:40]!r} is neither readable nor base64.")
    return given == "base64"
