"""What of a payload a browser is let make a picture of."""

import asyncio
from typing import Any

import pytest

from stream_infer.dead_letters import read_dead_letter
from stream_infer.errors import RefusedItem, RetryableError
from stream_infer.gateway.dead_letters.payload import Held, held_by, payload_answer, payload_of, picture_type
from stream_infer.headers import item_headers
from stream_infer.http.problems import Problem
from stream_infer.ports import Reference
from stream_infer.records import REFERENCE, Payload
from tests.support.items import message_at
from tests.support.memory_store import MemoryStore

PNG = b"\x89PNG\r\n\x1a\n0000"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a..", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"\x00\x00\x00\x20ftypavif", "image/avif"),
        (b"BM\x08\x00\x00\x00\x00\x00", "image/bmp"),
        (b"BMW is no picture", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", None),
        (b"<!doctype html><script>alert(1)</script>", None),
        (b"GIF", None),
        (b"", None),
    ],
)
def test_a_picture_is_told_by_its_bytes_and_all_else_is_a_file(data: bytes, kind: str | None) -> None:
    assert picture_type(data) == kind

    answer = payload_answer(data)
    assert answer.content_type == (kind or "application/octet-stream")
    assert ("attachment" in answer.headers.get("Content-Disposition", "")) == (kind is None)
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.body == data


def test_no_payload_is_no_content() -> None:
    assert payload_answer(None).status == 204


class Fetches:
    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome
        self.asked: list[str] = []

    async def fetch(self, reference: Reference) -> Payload:
        self.asked.append(reference.uri)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return Payload(self.outcome, "image/png")

    async def close(self) -> None: ...


def held(value: bytes | None, content_type: str) -> Held:
    message = message_at("a.dlq", 0, 0, value, item_headers(content_type=content_type))
    return held_by(read_dead_letter(message), MemoryStore())


def test_a_reference_is_fetched_and_what_only_claims_to_be_one_is_shown() -> None:
    fetches = Fetches(PNG)
    reference = held(b'{"uri":"s3://b/k.png"}', REFERENCE)

    assert asyncio.run(payload_of(reference, fetches)) == PNG
    assert fetches.asked == ["s3://b/k.png"]
    assert asyncio.run(payload_of(held(b"no reference", REFERENCE), fetches)) == b"no reference"
    assert asyncio.run(payload_of(held(b'{"uri":"x"}', "application/json"), fetches)) == b'{"uri":"x"}'
    assert asyncio.run(payload_of(held(None, "text/plain"), fetches)) is None
    assert len(fetches.asked) == 1


@pytest.mark.parametrize(
    ("fetcher", "status", "said"),
    [
        (Fetches(RefusedItem("below none of the allowed directories")), 409, "allowed directories"),
        (Fetches(RetryableError("timed out")), 503, "timed out"),
        (None, 409, "fetches nothing"),
    ],
)
def test_a_reference_that_cannot_be_brought_says_why(fetcher: Any, status: int, said: str) -> None:
    with pytest.raises(Problem, match=said) as caught:
        asyncio.run(payload_of(held(b'{"uri":"file:///etc/passwd"}', REFERENCE), fetcher))
    assert caught.value.status == status
