"""What OpenAI's clients ask for, field by field. What is done with each: docs/coming-from-openai.md."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from stream_infer.http.problems import FieldError, Problem, ProblemKind

BATCH: Literal["batch"] = "batch"
# As OpenAI has it, where nothing else is asked for.
KEPT_S = 30 * 86400
_LONGEST_WINDOW_S = 366 * 86400
_WINDOW = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class ExpiresAfter(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    anchor: Literal["created_at"]
    seconds: int = Field(ge=3600, le=KEPT_S)


class CreateBatch(BaseModel):
    """OpenAI's own names. `completion_window` is a number with s, m, h or d behind it, such as 24h."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_file_id: str = Field(min_length=1, max_length=200)
    endpoint: str = Field(min_length=1, max_length=200)
    completion_window: str = Field(max_length=20)
    metadata: (
        dict[
            Annotated[str, StringConstraints(min_length=1, max_length=64)],
            Annotated[str, StringConstraints(max_length=512)],
        ]
        | None
    ) = Field(default=None, max_length=16)
    output_expires_after: ExpiresAfter | None = None


def window_s(text: str) -> float:
    """The seconds that a completion window lasts, or a Problem."""
    match = _WINDOW.fullmatch(text)
    seconds = int(match[1]) * _UNITS_S[match[2]] if match else 0
    if not 0 < seconds <= _LONGEST_WINDOW_S:
        detail = f"{text!r} is no window: write how long the batch may take as 24h, 90m, 30s or 7d, 366d at most"
        raise refused("completion_window", detail)
    return float(seconds)


def refused(param: str, detail: str, kind: ProblemKind = ProblemKind.INVALID_REQUEST) -> Problem:
    """For the parameter of that name."""
    return Problem(kind, f"{param}: {detail}", errors=[FieldError(pointer=f"/{param}", detail=detail)])
