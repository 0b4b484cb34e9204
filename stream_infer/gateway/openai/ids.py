"""The ids of files and batches: each says what it is needed for to find what it names, on any replica. Pure.

batch_{second, hex}{random}             a batch, and the job of the same id: of two the later one has the greater id
file-{upload}-{seconds}                 a file that was sent: its upload, and for how long it is kept from then on
file-batch_…-output | -errors           the answers of a batch
"""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple

from stream_infer.jobs.batches import ERRORS, OUTPUT
from stream_infer.uploads import Upload

_SENT = re.compile(r"file-((\d{10})-[0-9a-f]{8}-[0-9a-f]{16})-(\d{1,9})", re.ASCII)
_ANSWERS = re.compile(rf"file-(batch_[0-9a-f]{{24}})-({OUTPUT}|{ERRORS})", re.ASCII)
_BATCH = re.compile(r"batch_([0-9a-f]{8})[0-9a-f]{16}", re.ASCII)


class SentId(NamedTuple):
    """What the id of a file that was sent says; times in whole seconds since the epoch."""

    upload_id: str
    created_at: int
    expires_at: int


class AnswersId(NamedTuple):
    """What the id of a file of answers says."""

    batch_id: str
    kind: str


def new_batch_id(now: float) -> str:
    return f"batch_{int(now):08x}{secrets.token_hex(8)}"


def batch_created_at(batch_id: str) -> int | None:
    """None where it is no such id."""
    match = _BATCH.fullmatch(batch_id)
    return None if match is None else int(match[1], 16)


def sent_id(upload: Upload, kept_s: int) -> str:
    return f"file-{upload.id}-{kept_s}"


def read_sent_id(file_id: str) -> SentId | None:
    """None where it is no such id."""
    match = _SENT.fullmatch(file_id)
    if match is None:
        return None
    created_at = int(match[2])
    return SentId(match[1], created_at, created_at + int(match[3]))


def answers_id(batch_id: str, kind: str) -> str:
    return f"file-{batch_id}-{kind}"


def read_answers_id(file_id: str) -> AnswersId | None:
    """None where it is no such id."""
    match = _ANSWERS.fullmatch(file_id)
    return None if match is None else AnswersId(match[1], match[2])
