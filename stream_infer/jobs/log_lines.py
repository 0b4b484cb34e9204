"""What was said about a job, as `{p}.logs` holds it: one record a line, keyed by the job's id."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from stream_infer.jobs.bounds import Moment

LINE_BYTES = 8 * 1024
FIELD_BYTES = 2 * 1024
FIELDS_KEPT = 16
_CUT = "…"

Scalar: TypeAlias = bool | int | FiniteFloat | str | None


class LogLine(BaseModel):
    """One line. `at` is its writer's clock in seconds since the epoch, `who` the process that wrote it.

    A predictor's `line` is what it printed; a role's is the name of what happened, with `fields` to tell more.
    """

    model_config = ConfigDict(frozen=True)

    at: Moment
    job_id: str
    role: str
    who: str
    level: str = "info"
    line: str
    fields: dict[str, Scalar] = Field(default_factory=dict)
    item_id: str | None = None
    source: Literal["predictor", "role"] = "role"


def encode_line(line: LogLine) -> bytes:
    return line.model_dump_json(exclude_defaults=True).encode()


def decode_line(key: bytes | None, value: bytes | None) -> LogLine | None:
    """The line, or None where the record is none or speaks in another job's name. Never raises."""
    try:
        line = LogLine.model_validate_json(value or b"")
    except ValidationError:
        return None
    return line if line.job_id.encode() == key else None


def cut(text: str, limit: int = LINE_BYTES) -> str:
    """`text` in at most `limit` bytes of UTF-8, its end marked where it was longer; what is no UTF-8 becomes `?`."""
    data = text[: limit + 1].encode(errors="replace")
    if len(data) <= limit:
        return data.decode()
    return data[: limit - len(_CUT.encode())].decode(errors="ignore") + _CUT
