"""Files that clients send to the gateway, as they lie in the store: parts of one size, and a note when all are there.

    _submissions/uploads/{id}/000000, 000001, …     the parts
    _submissions/uploads/{id}/upload.json           written last; without it the upload never came to its end

An object store takes an object whole, so parts are what keeps memory constant on both sides. No I/O here.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

UPLOADS: Final = "_submissions/uploads/"
PART_BYTES: Final = 8 * 1024 * 1024
_LONGEST_NAME = 80
_URI = re.compile(r"upload:(\d{10}-[0-9a-f]{16})/([A-Za-z0-9._-]{1,80})", re.ASCII)
_FOLDER = re.compile(re.escape(UPLOADS) + r"(\d{10})-[0-9a-f]{16}/", re.ASCII)


@dataclass(frozen=True, slots=True)
class Upload:
    """`id` begins with the second since the epoch in which it began. Of `name` the ending says what the file is."""

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


def new_upload(name: str, now: float) -> Upload:
    """`now` in seconds since the epoch; of `name`, a client's, what may stand in an address is kept."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name.rpartition("/")[2])[-_LONGEST_NAME:]
    return Upload(f"{int(now):010}-{secrets.token_hex(8)}", plain or "upload")


def upload_of(uri: str) -> Upload | None:
    """The upload that `uri` names; None where it is no upload's."""
    match = _URI.fullmatch(uri)
    return None if match is None else Upload(match[1], match[2])


def began_at(key: str) -> float | None:
    """When the upload began whose object has this key, in seconds since the epoch; None for any other object."""
    match = _FOLDER.match(key)
    return None if match is None else float(match[1])
