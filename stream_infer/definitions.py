"""APIs that are added while everything runs: what stands of them on `{p}.apis`, and what is said of them.

A definition has one writer, the gateway; what became of it is said by whoever prepares and serves the API, on
`{p}.api-states`. No I/O here.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from stream_infer.records import OutgoingRecord
from stream_infer.settings import ApiSettings, Settings
from stream_infer.topics import Topics

CODE_FOLDER: Final = "_apis/code/"
UNPACKED: Final = 16
"""Times what code may have packed (`limits.code_bytes`), it may have unpacked."""
_SHA256 = r"^[0-9a-f]{64}$"
_REVISION_BYTES = 6


class DefinedApi(ApiSettings):
    """`code`: the SHA-256 of the archive its predictor's paths are seen from: new code is a new version."""

    code: str | None = Field(default=None, pattern=_SHA256)


class Definition(BaseModel):
    """An API as somebody has deployed it. `definition`: one of `apis` of stream-infer.yaml, as it was given.

    `revision` is another one each time that it is written. `at` is in seconds since the epoch. `seal`: that of the
    gateway's machine, see Seal.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    revision: str = Field(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z_-]+$")
    definition: dict[str, Any]
    code: str | None = Field(default=None, pattern=_SHA256)
    at: float
    seal: str | None = None

    @cached_property
    def api(self) -> DefinedApi:
        """Raises ValueError where it is none."""
        return DefinedApi(**dict(ApiSettings.model_validate(self.definition)), code=self.code)

    def is_as(self, other: Definition) -> bool:
        """Whether the same API would come of it."""
        return self.definition == other.definition and self.code == other.code


class Seal:
    """Put on a definition by a gateway, and asked for by who runs its code, where Kafka asks nobody who he is: `up`'s
    own, which every user of the machine reaches. Both have the `key` from a file that no other user can read."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def put_on(self, definition: Definition) -> Definition:
        read = Definition.model_validate_json(definition.model_dump_json())  # as whoever looks at it will have it
        return definition.model_copy(update={"seal": self._of(read)})

    def is_on(self, definition: Definition) -> bool:
        return hmac.compare_digest(self._of(definition).encode(), (definition.seal or "").encode())

    def _of(self, definition: Definition) -> str:
        sealed = json.dumps(definition.model_dump(mode="json", exclude={"seal"}), sort_keys=True)
        return hmac.new(self._key, sealed.encode(), hashlib.sha256).hexdigest()


class ApiState(StrEnum):
    """PREPARING: its code and its environment are made ready, or its first worker is. FAILED: it cannot be served, and
    a message says why; what is submitted waits."""

    PREPARING = "preparing"
    LIVE = "live"
    FAILED = "failed"


class Report(BaseModel):
    """What has become of a revision on the machine, or in the pod, `by`. `at` is in seconds since the epoch."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    revision: str
    by: str
    state: ApiState
    message: str = ""
    at: float

    @property
    def key(self) -> str:
        """What is said elsewhere, or of the revision before, which may go on, is said beside it."""
        return f"{self.name}/{self.revision}/{self.by}"


def summed(reports: Iterable[Report]) -> Report | None:
    """What there is to say of a revision: LIVE where it is so anywhere, else the last word. None: nobody has any.

    Past bug: all spoke under one key, and what works somewhere was `preparing` with each pod that came, and `failed`
    with one on a node without a network.
    """
    return max(reports, key=lambda one: (one.state is ApiState.LIVE, one.at), default=None)


def new_revision() -> str:
    return secrets.token_hex(_REVISION_BYTES)


def code_key(sha256: str) -> str:
    """Where in the store an archive lies: by what is in it, so that nobody can put other code in its place."""
    return f"{CODE_FOLDER}{sha256}.tar.gz"


def decode_definition(value: bytes) -> Definition:
    """Raises ValueError."""
    found = Definition.model_validate_json(value)
    if found.api.name != found.name:
        raise ValueError(f"it defines {found.api.name!r}, and is named {found.name!r}")
    return found


def decode_report(value: bytes) -> Report:
    """Raises ValueError."""
    return Report.model_validate_json(value)


def definition_records(definition: Definition, said: Iterable[Report], topics: Topics) -> list[OutgoingRecord]:
    """`said` of the API until now nobody needs to know any more: it is of another revision."""
    record = OutgoingRecord(topics.apis, definition.name.encode(), definition.model_dump_json().encode())
    return [record, *(_forgotten(report, topics) for report in said)]


def report_record(report: Report, topics: Topics) -> OutgoingRecord:
    return OutgoingRecord(topics.api_states, report.key.encode(), report.model_dump_json().encode())


def tombstones(name: str, said: Iterable[Report], topics: Topics) -> list[OutgoingRecord]:
    """Of an API that is deleted, and of what was said of it."""
    return [OutgoingRecord(topics.apis, name.encode(), None), *(_forgotten(report, topics) for report in said)]


def _forgotten(report: Report, topics: Topics) -> OutgoingRecord:
    return OutgoingRecord(topics.api_states, report.key.encode(), None)


def with_definitions(settings: Settings, definitions: Iterable[Definition]) -> Settings:
    """`settings` with these APIs behind its own; an API of the file is that of the file, whatever else is defined."""
    own = {api.name for api in settings.apis}
    added = sorted((one for one in definitions if one.name not in own), key=lambda one: one.name)
    return settings.model_copy(update={"apis": [*settings.apis, *(one.api for one in added)]}) if added else settings
