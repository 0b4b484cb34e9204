"""`/v1/jobs/{id}/results` and `/failures`: what is committed so far, in the order of the job's items."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from aiohttp import web

from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.links import EXPIRES_S, LONGEST_S, links_of
from stream_infer.gateway.services import Services
from stream_infer.gateway.streams import send_lines
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.http.requests import flag, integer, read_query
from stream_infer.jobs.manifest import Kind, ManifestRecord, decode_manifest, job_of_manifest_key, manifest_key
from stream_infer.jobs.merge import merge_objects
from stream_infer.jobs.replays import read_replays, still_failed
from stream_infer.jobs.status import JobStatus
from stream_infer.jobs.stored_results import StoredResults
from stream_infer.kafka.partitioner import partition_of
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.settings import Settings
from stream_infer.topics import Topics

MAX_STREAMS = 16
MANIFEST_TIMEOUT_S = 30.0


class ResultsResource:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._streams = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/jobs/{job_id}/results", self.results, allow_head=False),
            web.get("/v1/jobs/{job_id}/failures", self.failures, allow_head=False),
        ]

    async def results(self, request: web.Request) -> web.StreamResponse:
        query = read_query(request, ("links", "expires"))
        seconds = integer(query, "expires", EXPIRES_S, 1, LONGEST_S)
        if flag(query, "links"):
            return await self._stream(request, lambda status: self._links(status, seconds))
        if "expires" in query:
            raise Problem(ProblemKind.INVALID_QUERY, "expires is of links: ask with links=true, too.")
        return await self._stream(request, lambda status: self._lines(status, Kind.RESULTS))

    async def failures(self, request: web.Request) -> web.StreamResponse:
        read_query(request, ())
        return await self._stream(request, lambda status: self._lines(status, Kind.ERRORS))

    async def _stream(self, request: web.Request, begin: Callable[[JobStatus], Iterator[bytes]]) -> web.StreamResponse:
        known = await self._services.job(request.match_info["job_id"])
        if self._streams >= MAX_STREAMS:
            detail = f"{MAX_STREAMS} streams of results are being read here already. Try again, or ask another replica."
            raise Problem(ProblemKind.BUSY, detail)
        self._streams += 1
        try:
            lines = await self._services.block(lambda: begin(known.status))
            return await send_lines(request, lines, self._services.block)
        finally:
            self._streams -= 1

    def _links(self, status: JobStatus, seconds: int) -> Iterator[bytes]:
        records = self._records(status, Kind.RESULTS)
        return links_of(records, self._stored, seconds, self._services.clock())

    def _lines(self, status: JobStatus, kind: Kind) -> Iterator[bytes]:
        """A failure that was replayed is none any more; how its item ends now stands further on."""
        settings = self._services.settings
        records = self._records(status, kind)
        lines = merge_objects(records, self._stored.lines)
        if kind is Kind.RESULTS or status.generation == 1 or not records:
            return lines
        topic, count = self._services.topics.replays, settings.jobs.partitions
        place = partition_of(status.job_id, count)
        return still_failed(lines, read_replays(settings.kafka, topic, [place], job_id=status.job_id))

    @property
    def _stored(self) -> StoredResults:
        return StoredResults(self._services.store, self._services.formats)

    def _records(self, status: JobStatus, kind: Kind) -> list[ManifestRecord]:
        return [record for record in read_manifest(self._services.settings, status.job_id) if record.kind is kind]


def read_manifest(settings: Settings, job_id: str) -> list[ManifestRecord]:
    """The committed objects of a job as of now, ordered by key. Blocks; raises TopicMismatch or ServiceUnavailable."""
    topic = Topics(settings.kafka.topic_prefix).manifests
    reader = TopicReader(settings.kafka, topic, [partition_of(job_id, settings.jobs.partitions)])
    try:
        found: dict[bytes, ManifestRecord] = {}
        deadline = time.monotonic() + MANIFEST_TIMEOUT_S
        ends = reader.ends()
        while not reader.has_reached(ends):
            if time.monotonic() > deadline:
                raise ServiceUnavailable(f"reading {topic} to its end took more than {MANIFEST_TIMEOUT_S:.0f} s")
            for message in reader.poll(0.1):
                if message.key is None or job_of_manifest_key(message.key) != job_id:
                    continue
                if message.value is None:
                    found.pop(message.key, None)
                else:
                    record = _readable(message.key, message.value)
                    if record is not None:
                        found[message.key] = record
        return [found[key] for key in sorted(found)]
    finally:
        reader.close()


def _readable(key: bytes, value: bytes) -> ManifestRecord | None:
    """None where it is a stranger's: of no sink, or of another object than its key names."""
    try:
        record = decode_manifest(value)
    except ValueError:
        return None
    return record if manifest_key(record) == key else None
