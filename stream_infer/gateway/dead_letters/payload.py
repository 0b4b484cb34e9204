"""A dead letter's payload as bytes: a picture as a picture, anything else as a file of which no browser makes more."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from stream_infer.dead_letters import DeadLetter
from stream_infer.errors import UndecodableItem
from stream_infer.gateway.dead_letters.originals import Irrecoverable, original_of
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.ports import Fetcher, Reference, Store
from stream_infer.records import REFERENCE, Failure
from stream_infer.references import fetch_one, read_reference

_OCTETS = "application/octet-stream"
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
# Opened by its own address it is nobody's page: it runs nothing, loads nothing, and is of no origin.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Held:
    """What a dead letter holds of its item: the bytes, or where they are; None where its value was null."""

    value: bytes | Reference | None


def held_by(letter: DeadLetter, store: Store) -> Held:
    """Blocks while what was too big for the dead letter is brought from the store. Raises a Problem."""
    try:
        original = original_of(letter, store)
    except Irrecoverable as error:
        raise _no_payload(str(error)) from None
    if original.value is None or original.content_type.partition(";")[0].strip().lower() != REFERENCE:
        return Held(original.value)
    try:
        return Held(read_reference(original.value))
    except UndecodableItem:
        return Held(original.value)  # that may be why it is a dead letter


async def payload_of(held: Held, fetcher: Fetcher | None) -> bytes | None:
    """What is elsewhere is fetched as a worker would, within `fetch` of the settings. Raises a Problem."""
    value = held.value
    if not isinstance(value, Reference):
        return value
    if fetcher is None:
        raise _no_payload(f"it lies at {value.uri[:200]}, and this gateway fetches nothing")
    outcome = await fetch_one(fetcher, value)
    if isinstance(outcome, Failure):
        kind = ProblemKind.UNAVAILABLE if outcome.retryable else ProblemKind.NO_PAYLOAD
        raise Problem(kind, outcome.message)
    return outcome.data


def payload_answer(data: bytes | None) -> web.Response:
    if data is None:
        return web.Response(status=204, headers=_HEADERS)
    kind = picture_type(data)
    shown = {} if kind else {"Content-Disposition": 'attachment; filename="payload"'}
    return web.Response(body=data, content_type=kind or _OCTETS, headers=_HEADERS | shown)


def picture_type(data: bytes) -> str | None:
    """Of a raster picture that browsers show, by how it begins, whatever it is called. SVG is a program, and none."""
    found = next((kind for beginning, kind in _BEGINNINGS if data.startswith(beginning)), None)
    if found is not None:
        return found
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "image/avif"
    if data[:2] == b"BM" and len(data) == int.from_bytes(data[2:6], "little"):
        return "image/bmp"
    return None


def _no_payload(reason: str) -> Problem:
    return Problem(ProblemKind.NO_PAYLOAD, f"The payload cannot be shown: {reason}.")
