"""A gateway in the test's own process, and the pens of the roles that are not there."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import urllib3

from connectors.formats.jsonl import result_line
from connectors.stores import open_store
from stream_infer.dead_letters import dead_letter
from stream_infer.gateway import board
from stream_infer.gateway.run import run
from stream_infer.headers import item_headers, item_id_of, read_item
from stream_infer.jobs.events import decode_event
from stream_infer.jobs.manifest import Kind, ManifestRecord, encode_manifest, manifest_key
from stream_infer.jobs.status import JobStatus, encode_status
from stream_infer.kafka.admin import apply
from stream_infer.kafka.partitioner import partition_of
from stream_infer.kafka.publisher import Publisher
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.ports import Store
from stream_infer.records import JSON, Failure, Message, OutgoingRecord
from stream_infer.settings import Settings
from stream_infer.topics import Topics
from tests.support.items import message_at
from tests.support.roles import running

# CI stands still for seconds at times. A gateway that has waited 5 s for Kafka by then answers 503.
STANDSTILL_S = 30.0
_POOL = urllib3.PoolManager(retries=False, timeout=60)


def seen(url: str) -> Any:
    """What is there, for who asks again and again; None where the gateway has lost sight of Kafka for a moment."""
    answer = _POOL.request("GET", url)
    assert answer.status in (200, 503), (answer.status, answer.data)
    return answer.json() if answer.status == 200 else None


class HttpClient:
    """Plain HTTP against one replica. Who asks only for what is there asks again where that was not to be had."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._pool = urllib3.PoolManager(retries=False, timeout=60)

    def __call__(
        self, method: str, path: str, body: Any = None, *, status: int, raw: bytes | None = None, **headers: str
    ) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            raw = json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        answer = self._asked(method, path, raw, sent)
        deadline = time.monotonic() + STANDSTILL_S
        while (method, status, answer.status) == ("GET", 200, 503) and time.monotonic() < deadline:
            time.sleep(0.2)
            answer = self._asked(method, path, raw, sent)
        assert answer.status == status, (answer.status, answer.data)
        self.headers = answer.headers
        if status >= 400:
            assert answer.headers["content-type"].startswith("application/problem+json")
            problem = answer.json()
            assert problem["status"] == status
            assert {"type", "title", "detail"} <= problem.keys()
            return problem
        return answer.json() if answer.headers.get("content-type", "").rpartition("/")[2] == "json" else answer.data

    def _asked(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Any:
        return self._pool.request(method, self.url + path, body=body, headers=headers)

    def close(self) -> None:
        self._pool.clear()


class GatewayHarness:
    """A gateway's settings, and the other roles' pens. `api`: the one that they write of."""

    def __init__(self, settings: Settings, api: str = "echo") -> None:
        self.settings = settings
        self.api = api
        self.topics = Topics(settings.kafka.topic_prefix)
        self.store: Store = open_store(settings.store)
        apply(settings)

    @contextmanager
    def gateway(self, settings: Settings | None = None, store: Any = None, **ports: Any) -> Iterator[HttpClient]:
        urls: list[str] = []
        used = settings or self.settings
        with (
            patch.object(board, "CATCH_UP_TIMEOUT_S", STANDSTILL_S),
            running(lambda stop, ready: run(used, store or self.store, stop, ready, on_listening=urls.append, **ports)),
        ):
            client = HttpClient(urls[0])
            yield client
            client.close()

    def send(self, *records: OutgoingRecord) -> None:
        publisher = Publisher(self.settings.kafka, "test")
        publisher.publish(records)
        publisher.close()

    def status(self, job_id: str, **fields: Any) -> None:
        status = JobStatus(job_id=job_id, api=self.api).model_copy(update=fields)
        self.send(OutgoingRecord(self.topics.status, job_id.encode(), encode_status(status)))

    def read(self, topic: str) -> list[Message]:
        """All of the topic, by partition and offset: Kafka promises no order across partitions."""
        reader = TopicReader(self.settings.kafka, topic)
        try:
            return sorted(reader.read_to_end(), key=lambda message: message.position)
        finally:
            reader.close()

    def events(self, job_id: str) -> list[Any]:
        messages = self.read(self.topics.progress)
        return [decode_event(message.value or b"") for message in messages if message.key == job_id.encode()]

    def commit_object(self, job_id: str, kind: Kind, name: str, lines: list[bytes], ordinals: tuple[int, int]) -> None:
        key = f"{self.api}/{job_id}/{kind}/{name}"
        self.store.put(key, b"".join(lines))
        record = ManifestRecord(
            job_id=job_id, api=self.api, generation=1, kind=kind, key=key, topic="t", partition=0, first_offset=0,
            last_offset=9, first_ordinal=ordinals[0], last_ordinal=ordinals[1], count=len(lines), bytes=1, sha256="",
        )  # fmt: skip
        place = partition_of(job_id, self.settings.jobs.partitions)
        self.send(OutgoingRecord(self.topics.manifests, manifest_key(record), encode_manifest(record), partition=place))

    def reject(self, *letters: tuple[str | None, bytes, Failure] | tuple[str | None, bytes, Failure, str]) -> None:
        """Each may end with a content type."""
        topic = self.topics.api(self.api).dlq
        for number, (job_id, value, failure, *kinds) in enumerate(letters):
            item_id = None if job_id is None else item_id_of(job_id, number)
            headers = item_headers(job_id=job_id, item_id=item_id, content_type=kinds[0] if kinds else JSON)
            item = read_item(message_at("echo.items", 0, number, value, headers, key=b"k"))
            self.send(dead_letter(item, failure, topic, predictor="Echo", worker="w", api_version="1"))


def result_of(job_id: str, ordinal: int) -> bytes:
    headers = item_headers(job_id=job_id, item_id=item_id_of(job_id, ordinal))
    return result_line(message_at("echo.results", 0, ordinal, b'{"n":%d}' % ordinal, headers))
