"""A form as any client may write it, byte by byte."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from stream_infer.gateway.openai.form import Field, parts_of
from stream_infer.gateway.openai.lines import Findings
from stream_infer.gateway.openai.records import FileRecord
from stream_infer.http.problems import answer_with_problems

NAMED = b'Content-Disposition: form-data; name="file"; filename="'


def sent(head: bytes, value: bytes = b"x" * 50) -> tuple[int, str]:
    """What comes of a form of one part: the name and file name that were read, or what is wrong."""

    async def handle(request: web.Request) -> web.Response:
        read: list[str] = []
        async for part in parts_of(request):
            if isinstance(part, Field):
                read.append(f"{part.name}={part.value}")
                continue
            read.append(f"{part.name}: {part.filename}")
            async for _ in part.chunks:
                pass
        return web.Response(text="; ".join(read))

    async def go() -> tuple[int, str]:
        app = web.Application(middlewares=[answer_with_problems])
        app.router.add_post("/", handle)
        body = b"--b\r\n" + head + b"\r\n\r\n" + value + b"\r\n--b--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        async with TestClient(TestServer(app)) as client, client.post("/", data=body, headers=headers) as answer:
            return answer.status, await answer.text()

    return asyncio.run(go())


def test_a_name_that_is_no_utf_8_is_one_that_can_be_kept() -> None:
    """As curl sends it where the locale is Latin-1."""
    assert sent(NAMED + b'f\xfc.jsonl"') == (200, "file: f\ufffd.jsonl")
    assert sent(NAMED + 'f\u00fc.jsonl"'.encode()) == (200, "file: f\u00fc.jsonl")
    _, name = sent(NAMED + b'\xff"')
    record = FileRecord(id="f", filename=name, bytes=1, created_at=1, expires_at=2, uri="u", findings=Findings())
    assert FileRecord.model_validate_json(record.model_dump_json()) == record
    assert sent(b'Content-Disposition: form-data; name="p\xfc"', b"1") == (200, "p\ufffd=1")


@pytest.mark.parametrize(
    "head",
    [
        b'Content-Disposition: form-data; name="_charset_"',
        b'Content-Disposition: form-data; name="file"; filename*0=abc; filename*1="x\'y"',
        b"Content-Disposition: form-data",
    ],
)
def test_a_part_that_makes_no_sense_is_the_forms_fault(head: bytes) -> None:
    status, said = sent(head)
    assert status == 400
    assert "The form cannot be read" in said
