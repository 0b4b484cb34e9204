"""What a record about a job may say at most: bounds that its readers rely on.

Anybody may write to a topic. A value beyond these makes the whole record unreadable, so that nobody computes with it:
an infinite time was once written as null, which lost its job's row; a count of 4,000 digits has no float.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints

from stream_infer.headers import LARGEST_NUMBER
from stream_infer.redaction import redact_text

END_OF_TIME = 253_402_300_799  # of the year 9999: beyond it no calendar goes
MOST_ITEMS = 2**53  # exact in any reader's JSON
LONGEST_URI = 16 * 1024
_LONGEST_REASON = 4096

JobId: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
"""Also a folder's name in the store, and of no more than one part."""

ApiName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]

Generation: TypeAlias = Annotated[int, Field(ge=1, le=LARGEST_NUMBER)]

Whole: TypeAlias = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""An offset, a partition, a number of bytes or of objects."""

Items: TypeAlias = Annotated[int, Field(ge=-MOST_ITEMS, le=MOST_ITEMS)]
"""As a delta it may be negative."""

Moment: TypeAlias = Annotated[float, Field(ge=0, le=END_OF_TIME)]
"""In seconds since the epoch; NaN and infinity are no moments."""

Workers: TypeAlias = Annotated[int, Field(ge=1, le=100_000)]
"""A number of worker processes."""

Duration: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _presentable(text: str) -> str:
    """Cut before, too: a text may have megabytes, and a secret that the first cut splits falls to the second."""
    return redact_text(text[: 2 * _LONGEST_REASON])[:_LONGEST_REASON]


Reason: TypeAlias = Annotated[str, AfterValidator(_presentable)]
"""Without what looks like a secret, whoever said it. Cut rather than refused: a row keeps up to 20 of them and has to
fit into a record."""
