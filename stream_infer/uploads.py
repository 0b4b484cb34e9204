"""What clients send to the gateway, as it lies in the store: files in parts of one size, with a note when all are
there, and the items of a request.

    _submissions/uploads/{id}/000000, 000001, …     the parts
    _submissions/uploads/{id}/upload.json           written last; without it the upload never came to its end
    _submissions/{job}-{id}.jsonl                   the items, one a line

Files are read part by part, and an object store gives an object whole: so memory is constant on both sides. No I/O
here.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

SUBMISSIONS: Final = "_submissions/"
UPLOADS: Final = f"{SUBMISSIONS}uploads/"
PART_BYTES: Final = 8 * 1024 * 1024
# Nobody has named it in a job for so long: nobody will.
UNUSED_FOR_S: Final = 86400.0
_LONGEST_NAME = 80
_ID = r"\d{10}-[0-9a-f]{8}-[0-9a-f]{16}"
_URI = re.compile(rf"upload:({_ID})/([A-Za-z0-9._-]{{1,{_LONGEST_NAME}}})", re.ASCII)
_KEY = re.compile(rf"{re.escape(UPLOADS)}({_ID})/", re.ASCII)
_ITEMS = re.compile(rf"{re.escape(SUBMISSIONS)}[^/]+-({_ID})\.jsonl", re.ASCII)


@dataclass(frozen=True, slots=True)
class Upload:
    """`id`: the second since the epoch in which it began, whose it is, and a number nobody can guess.

    Of `name` the ending says what the file is.
    """

    id: str
    name: str

    @property
    def uri(self) -> str:
        return f"upload:{self.id}/{self.name}"

    @property
    def folder(self) -> str:
        return f"{UPLOADS}{self.id}/"

    @property
    def note(self) -> str:
        return f"{self.folder}upload.json"

    def part(self, number: int) -> str:
        """`number` from 0."""
        return f"{self.folder}{number:06}"


class UploadNote(BaseModel):
    """What `upload.json` says: every part but the last has `part_bytes`."""

    model_config = ConfigDict(frozen=True)

    name: str
    bytes: int = Field(ge=0)
    part_bytes: int = Field(ge=1)
    sha256: str


def owner_of(cluster: str, prefix: str) -> str:
    """Of the Kafka cluster of that id and the topics' prefix there: others may share the store."""
    return f"{cluster}/{prefix}"


def new_upload(name: str, owner: str, now: float) -> Upload:
    """`owner` is an answer of `owner_of`; `now` in seconds since the epoch.

    Of `name`, a client's, what may stand in an address is kept.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name.rpartition("/")[2])[-_LONGEST_NAME:]
    return Upload(_new_id(owner, now), plain or "upload")


def items_key(job_id: str, owner: str, now: float) -> str:
    """Where the items of a request are kept: each time another place. `owner` and `now` as for `new_upload`."""
    return f"{SUBMISSIONS}{job_id}-{_new_id(owner, now)}.jsonl"


def submission_id(key: str) -> str | None:
    """The id of what lies at `key`: of an upload, or of a request's items; None for what is neither."""
    match = _KEY.match(key) or _ITEMS.fullmatch(key)
    return None if match is None else match[1]


def upload_of(uri: str) -> Upload | None:
    """The upload that `uri` names; None where it is no upload's."""
    match = _URI.fullmatch(uri)
    return None if match is None else Upload(match[1], match[2])


def is_left_over(key: str, owner: str, used: frozenset[str], now: float) -> bool:
    """Whether the object `key` is of `owner`, and of no job that is remembered, by the ids `used`, nor will be."""
    found = submission_id(key)
    if found is None or found in used:
        return False
    began, mark, _ = found.split("-")
    return mark == mark_of(owner) and now - float(began) > UNUSED_FOR_S


def _new_id(owner: str, now: float) -> str:
    return f"{int(now):010}-{mark_of(owner)}-{secrets.token_hex(8)}"


def mark_of(owner: str) -> str:
    """Of an answer of `owner_of`, in 8 characters that may stand in a key."""
    return hashlib.sha256(owner.encode()).hexdigest()[:8]
