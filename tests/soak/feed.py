"""What users do: submit jobs, stop one, and write into the topic, while the system is being hurt."""

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stream_infer.errors import StreamInferError, TransactionAborted
from stream_infer.headers import Header, item_headers
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.records import JSON, REFERENCE, OutgoingRecord
from stream_infer.settings import Settings
from stream_infer.topics import Topics
from tests.soak.apis import APIS
from tests.soak.items import Form, Kind, Planned, Source
from tests.soak.store import BUCKET, StoreServer

CHUNK = 25
ASK_AGAIN_S = 0.5
ANSWER_WITHIN_S = 60.0
GIVE_UP_S = 240.0


class Refused(Exception):
    """The gateway has answered with an error."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status} {said}")
        self.status = status


def ask(method: str, url: str, body: Any = None, key: str | None = None) -> Any:
    """What the gateway answers, once. Raises Refused, or OSError where it does not answer."""
    headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_WITHIN_S) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise Refused(error.code, error.read().decode(errors="replace")) from None
    except http.client.HTTPException as error:
        raise OSError(f"the answer broke off: {error}") from error


class Feed:
    """Brings everything in over `span` seconds, on two threads. `jobs` maps a source's name to its job's id."""

    def __init__(self, settings: Settings, folder: Path, store: StoreServer, gateway: str) -> None:
        self._settings = settings
        self._topics = Topics(settings.kafka.topic_prefix)
        self._folder = folder
        self._store = store
        self._gateway = gateway
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []
        self.jobs: dict[str, str] = {}
        self.errors: list[str] = []

    def start(self, drawn: Mapping[str, Sequence[Planned]], seed: int, span: float) -> None:
        sources = [items[0].source for items in drawn.values() if items]
        jobs = [source for source in sources if source.is_job]
        stream = _by_turns([drawn[source.name] for source in sources if not source.is_job])
        self._prepare(drawn)
        self._begin("jobs", lambda: self._submit_all(jobs, drawn, seed, span))
        self._begin("stream", lambda: self._produce(stream, span))

    def _begin(self, name: str, work: Any) -> None:
        def run() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - told at the end
                self.errors.append(f"feeding {name}: {type(error).__name__}: {error}")

        thread = threading.Thread(target=run, name=f"feed-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    @property
    def is_done(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(GIVE_UP_S)

    def _prepare(self, drawn: Mapping[str, Sequence[Planned]]) -> None:
        """The files that jobs and references read."""
        for name, items in drawn.items():
            if not items:
                continue
            form = items[0].source.form
            if form is Form.DIRECTORY:
                (self._folder / name).mkdir()
            for item in items:
                if form is Form.DIRECTORY or item.kind is Kind.REFERENCE:
                    _write_file(self._file_of(item), item)
            if form in (Form.JSONL, Form.S3):
                data = b"".join(item.line() + b"\n" for item in items)
                if form is Form.JSONL:
                    (self._folder / f"{name}.jsonl").write_bytes(data)
                else:
                    client = self._store.direct.client()
                    client.put_object(Bucket=BUCKET, Key=f"input/{name}.jsonl", Body=data)
                    client.close()

    def _file_of(self, item: Planned) -> Path:
        """In a directory's order, which is its names', items come in the order of their ordinals."""
        folder = self._folder if item.source.form is Form.DIRECTORY else self._folder / "references"
        return folder / item.source.name / f"{item.ordinal:08d}.json"

    def _submit_all(
        self, jobs: Sequence[Source], drawn: Mapping[str, Sequence[Planned]], seed: int, span: float
    ) -> None:
        for source in jobs:
            job_id = self.submit(source, drawn[source.name], seed)
            if source.stopped:
                self._begin(f"stop of {source.name}", lambda job_id=job_id, size=source.size: self._end(job_id, size))
            self._ending.wait(span / 3 / len(jobs))

    def submit(self, source: Source, items: Sequence[Planned], seed: int) -> str:
        """One job; its id. Blocks until the gateway has taken it."""
        key = f"soak-{seed}-{source.name}"
        job = self._ask("POST", f"/v1/apis/{source.api.name}/jobs", self._spec(source, items), key)
        self.jobs[source.name] = str(job["job_id"])
        return self.jobs[source.name]

    def _end(self, job_id: str, size: int) -> None:
        """Stops the job once a part of its items has ended. Asks as its owner would: the tally may be late."""
        while not self._ending.wait(0.3):
            counts = self._ask("GET", f"/v1/jobs/{job_id}")["counts"]
            if counts["succeeded"] + counts["rejected"] >= size // 20:
                self._ask("DELETE", f"/v1/jobs/{job_id}")
                return

    def _spec(self, source: Source, items: Sequence[Planned]) -> dict[str, Any]:
        match source.form:
            case Form.JSONL:
                return {"jsonl": {"uri": (self._folder / f"{source.name}.jsonl").as_uri()}}
            case Form.S3:
                return {"jsonl": {"uri": f"s3://{BUCKET}/input/{source.name}.jsonl"}}
            case Form.DIRECTORY:
                return {"directory": {"path": str(self._folder / source.name)}}
            case _:
                return {"item_list": {"items": [item.payload() for item in items]}}

    def _ask(self, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
        """Again until it is answered: the gateway may be killed, stopped or cut off, and the key makes it one job."""
        deadline = time.monotonic() + GIVE_UP_S
        while True:
            try:
                return ask(method, self._gateway + path, body, key)
            except Refused as error:
                if error.status < 500 or time.monotonic() > deadline:
                    raise
            except OSError:
                if time.monotonic() > deadline:
                    raise
            if self._ending.wait(ASK_AGAIN_S):
                raise RuntimeError(f"{method} {path}: the run has ended")

    def _produce(self, items: Sequence[Planned], span: float) -> None:
        """In transactions: an aborted chunk is sent again; after anything else, what is there is looked up."""
        producer = self._producer()
        chunks = [items[place : place + CHUNK] for place in range(0, len(items), CHUNK)]
        for chunk in chunks:
            left = [self._record(item) for item in chunk]
            while left and not self._ending.is_set():
                try:
                    producer.transact(left, {})
                    left = []
                except TransactionAborted:
                    self._ending.wait(ASK_AGAIN_S)
                except StreamInferError:
                    producer.close()
                    producer = self._producer()
                    there = self._published()
                    left = [record for record in left if dict(record.headers)[Header.ITEM_ID.value] not in there]
            self._ending.wait(span * len(chunk) / max(1, len(items)))
        producer.close()

    def _producer(self) -> TransactionalProducer:
        producer = TransactionalProducer(self._settings.kafka, "soak-feed")
        while True:
            try:
                producer.initialise()
                return producer
            except StreamInferError:
                if self._ending.wait(ASK_AGAIN_S):
                    raise

    def _published(self) -> set[bytes | None]:
        found: set[bytes | None] = set()
        for api in APIS:
            reader = TopicReader(self._settings.kafka, self._topics.api(api.name).items)
            try:
                found |= {dict(message.headers).get(Header.ITEM_ID.value) for message in reader.read_to_end()}
            finally:
                reader.close()
        return found

    def _record(self, item: Planned) -> OutgoingRecord:
        by_reference = item.kind in (Kind.REFERENCE, Kind.MISSING)
        uri = self._file_of(item).as_uri()
        value = json.dumps({"uri": uri, "content_type": JSON}).encode() if by_reference else item.line()
        headers = item_headers(
            content_type=REFERENCE if by_reference else JSON,
            item_id=item.name,
            deadline=1.0 if item.kind is Kind.EXPIRED else None,
        )
        topic = self._topics.api(item.source.api.name).items
        return OutgoingRecord(topic, f"key-{item.ordinal % 50}".encode(), value, headers)


def _by_turns(lists: Sequence[Sequence[Planned]]) -> list[Planned]:
    """Each list in its order, the longer ones more often, so that all end together."""
    placed = [((at + 0.5) / len(mine), item) for mine in lists for at, item in enumerate(mine)]
    return [item for _, item in sorted(placed, key=lambda pair: pair[0])]


def _write_file(path: Path, item: Planned) -> None:
    """A link that leads nowhere is listed, and is not there when it is read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if item.kind is Kind.MISSING:
        path.symlink_to(path.with_name("nowhere"))
    else:
        path.write_bytes(item.line())
