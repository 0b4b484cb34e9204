"""What is to become of results: how they lie in the store, and what of input and output stands in them.

Said of an API in the configuration, and of a job where it is submitted; what a job says comes first (jobs/results.py).
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Collection
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from stream_infer.nearest import did_you_mean

LONGEST_FILTER = 1000


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ResultFormat(StrEnum):
    """How results lie in the objects of a job, as far as it is built in. `PER_ITEM`: each output is an object."""

    JSONL = "jsonl"
    JSONL_GZ = "jsonl.gz"
    PARQUET = "parquet"
    PER_ITEM = "per-item"


FormatName = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9.+_-]{0,63}$", json_schema_extra={"examples": [*ResultFormat]})
]
"""One that is built in, or the name of a plugin."""


class Join(_Said):
    """What was sent beside what came out, as an object of two members of these names.

    `merge`: an input that is an object itself gets the output as one more member, and no object is put around it.
    """

    input: str = Field(default="input", min_length=1, max_length=100)
    output: str = Field(default="output", min_length=1, max_length=100)
    merge: bool = False

    @field_validator("output")
    @classmethod
    def _distinct(cls, output: str, info: object) -> str:
        if getattr(info, "data", {}).get("input") == output:
            raise ValueError(f"input and output cannot both be named {output!r}")
        return output


class Results(_Said):
    """`join: input` is short for `join: {input: input, output: output}`.

    A filter is JSONPath (RFC 9535) where it begins with `$`, else JMESPath. `input_filter` makes what the predictor
    gets of an item; `output_filter` what is kept of its output, joined with the input where `join` asks for that.
    """

    format: FormatName = ResultFormat.JSONL.value
    join: Literal["none", "input"] | Join = "none"
    input_filter: str | None = Field(default=None, min_length=1, max_length=LONGEST_FILTER)
    output_filter: str | None = Field(default=None, min_length=1, max_length=LONGEST_FILTER)

    @field_validator("input_filter", "output_filter")
    @classmethod
    def _compiles(cls, text: str | None) -> str | None:
        if text is not None:
            from stream_infer.shaping.languages import compile_filter

            compile_filter(text)
        return text

    @property
    def joined(self) -> Join | None:
        """The names to join with; None: the output stands alone."""
        if isinstance(self.join, Join):
            return self.join
        return Join() if self.join == "input" else None

    @property
    def is_shaping(self) -> bool:
        """Whether anything is done to an item's input or output."""
        return self.joined is not None or self.input_filter is not None or self.output_filter is not None


def objection_to(format_: str, readable: Collection[str]) -> str | None:
    """Why results cannot lie so here: `readable` are the names of all formats that there are, beside lines of JSON."""
    if format_ == ResultFormat.JSONL or format_ in readable:
        return None
    if format_ == ResultFormat.PARQUET:
        return f"{format_} needs pyarrow, which is not installed here: install stream-infer[parquet]"
    known = sorted({ResultFormat.JSONL.value, *readable})
    advice = f"; there are {', '.join(known)}, and what a package with an entry point of stream_infer.formats adds"
    return f"{format_!r} is no format that is installed here{did_you_mean(format_, known, advice)}"


def unpacked(output: Any, content_type: str | None) -> bytes | None:
    """The bytes that an output in a line of results stands for: one that cannot be JSON is {"base64", "content_type"},
    its type being the line's. None: it is what it says, also where a predictor's own answer looks alike."""
    match output:
        case {"base64": str(text), "content_type": str(kind), **rest} if kind == content_type and not rest:
            try:
                return b64decode(text, validate=True)
            except ValueError:
                return None
    return None
