"""A store in memory, held to the same contract as the real ones (tests/contract/test_store_contract.py)."""

from collections.abc import Iterable, Iterator

from stream_infer.errors import NoLinks
from stream_infer.ports import StoredObject


class MemoryStore:
    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def uri(self, key: str) -> str:
        return f"memory:///{key}"

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        self.objects[key] = data

    def put_chunks(self, key: str, chunks: Iterable[bytes], content_type: str = "application/octet-stream") -> None:
        self.objects[key] = b"".join(chunks)

    def get(self, key: str) -> bytes:
        return self.objects[key]

    def piece(self, key: str, start: int, size: int) -> bytes:
        return self.objects[key][start : start + size]

    def exists(self, key: str) -> bool:
        return key in self.objects

    def list(self, prefix: str) -> Iterator[StoredObject]:
        for key in sorted(self.objects):
            if key.startswith(prefix):
                yield StoredObject(key, len(self.objects[key]))

    def link(self, key: str, seconds: int) -> str:
        raise NoLinks("a store in memory has no links")

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)
