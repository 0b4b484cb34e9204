"""What is put on a topic: records by their number, made in a transaction so that all of them become visible at once."""

from __future__ import annotations

import random
import string
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import orjson
from confluent_kafka import Producer

from stream_infer.headers import item_headers, item_id_of
from stream_infer.records import JSON, REFERENCE, Headers

PARTITIONS = 4
JOB_ID = "bench-job"
# The broker's own bound on transactions is 15 min.
_TRANSACTION_MS = 800_000
# Random text: what compresses to nothing would spare broker and clients work that real items cost.
_TEXT = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=1 << 18))


class Load(Protocol):
    """`items` records, each made from its number."""

    @property
    def items(self) -> int: ...

    def value(self, number: int) -> bytes: ...

    def headers(self, number: int) -> Headers: ...


@dataclass(frozen=True, slots=True)
class JsonLoad:
    """`items` JSON items of `size` bytes each; with `of_job` they carry the headers that intake writes."""

    items: int
    size: int
    of_job: bool = False

    def value(self, number: int) -> bytes:
        left = max(0, self.size - len(b'{"n":%d,"text":""}' % number))
        start = (number * 7919) % (len(_TEXT) - left)
        return orjson.dumps({"n": number, "text": _TEXT[start : start + left]})

    def headers(self, number: int) -> Headers:
        if not self.of_job:
            return ()
        return item_headers(content_type=JSON, job_id=JOB_ID, item_id=item_id_of(JOB_ID, number))


@dataclass(frozen=True, slots=True)
class ReferenceLoad:
    """A reference to each of `uris`, as a job over a directory has them."""

    uris: tuple[str, ...]
    content_type: str

    @property
    def items(self) -> int:
        return len(self.uris)

    def value(self, number: int) -> bytes:
        return orjson.dumps({"uri": self.uris[number % len(self.uris)], "content_type": self.content_type})

    def headers(self, number: int) -> Headers:
        return item_headers(content_type=REFERENCE, item_id=str(number))

    @classmethod
    def of_files(cls, files: Iterable[Path]) -> Self:
        return cls(tuple(file.as_uri() for file in files), "image/jpeg")


class Fill:
    """Records that lie in `topic`, evenly over its partitions, and that no read_committed reader sees until `release`.

    Filling is therefore outside the time, and whoever reads begins at one instant with everything there.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        name = f"bench-fill-{uuid.uuid4().hex[:8]}"
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "log_level": 0,
                "transactional.id": name,
                "transaction.timeout.ms": _TRANSACTION_MS,
                "compression.type": "lz4",
                "linger.ms": 20,
                "queue.buffering.max.messages": 500_000,
                "queue.buffering.max.kbytes": 262_144,
            }
        )
        self._producer.init_transactions(30.0)

    def __enter__(self) -> Self:
        self._producer.begin_transaction()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._producer.purge()

    def add(self, load: Load, numbers: Iterable[int], prefix: str = "") -> None:
        """Each record's key is `prefix` and its number."""
        for number in numbers:
            self._put(f"{prefix}{number}".encode(), load.value(number), load.headers(number), number % PARTITIONS)
        self._producer.flush()

    def _put(self, key: bytes, value: bytes, headers: Headers, partition: int) -> None:
        while True:
            try:
                self._producer.produce(self._topic, value, key, partition, headers=list(headers))
                return
            except BufferError:
                self._producer.poll(0.05)

    def release(self) -> float:
        """Commits; answers the time just before, on the monotonic clock."""
        before = time.monotonic()
        self._producer.commit_transaction(60.0)
        return before
