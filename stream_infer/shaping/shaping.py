"""What a job's results settings do to an item and to its output: compiled once a job, applied to each item."""

from __future__ import annotations

from typing import Any

import orjson

from stream_infer.errors import UnshapableInput, UnshapableOutput
from stream_infer.records import JSON, Output, Payload
from stream_infer.results import Join, Results
from stream_infer.shaping.documents import CSV, cells_of, data_of, embedded, is_json, media_type, row_of, value_of
from stream_infer.shaping.filters import Filter, FilterFailed
from stream_infer.shaping.languages import compile_filter
from stream_infer.shaping.sizes import is_larger

LARGEST_MADE = 64 * 1024 * 1024
"""Bytes that a filter may make of one item."""


class Shaping:
    """Not to be used by two threads at a time."""

    def __init__(self, results: Results) -> None:
        """Raises MalformedFilter."""
        self._join = results.joined
        self._input = None if results.input_filter is None else compile_filter(results.input_filter)
        self._output = None if results.output_filter is None else compile_filter(results.output_filter)

    @property
    def shapes_input(self) -> bool:
        """Whether `shape_input` changes anything."""
        return self._input is not None

    @property
    def shapes_output(self) -> bool:
        """Whether `shape_output` changes anything."""
        return self._output is not None or self._join is not None

    @property
    def joins(self) -> bool:
        """Whether `shape_output` needs to see what was sent."""
        return self._join is not None

    def shape_input(self, payload: Payload) -> Payload:
        """What the predictor gets. Raises UnshapableInput."""
        if self._input is None:
            return payload
        try:
            return Payload(*_filtered(self._input, payload.data, payload.content_type))
        except FilterFailed as error:
            raise UnshapableInput(f"input_filter: {error}") from None

    def shape_output(self, sent: Payload, output: Output) -> Output:
        """What is kept of `output`, joined with what was `sent` (before its filter) first. Raises UnshapableOutput.

        None stays None: what is not stored is not joined either.
        """
        if output.value is None:
            return output
        data, content_type = output.value, output.content_type
        if self._join is not None:
            data, content_type = _joined(self._join, sent, data, content_type)
        if self._output is None:
            return Output(data, content_type)
        try:
            return Output(*_filtered(self._output, data, content_type))
        except FilterFailed as error:
            raise UnshapableOutput(f"output_filter: {error}") from None


def shaping_of(results: Results | None) -> Shaping | None:
    """None where nothing is shaped. Raises MalformedFilter, which a Results that was validated cannot."""
    return Shaping(results) if results is not None and results.is_shaping else None


def _filtered(apply: Filter, data: bytes, content_type: str) -> tuple[bytes, str]:
    made = apply(value_of(data, content_type))
    if apply.may_enlarge and is_larger(made, LARGEST_MADE):
        raise FilterFailed(f"it makes more than {LARGEST_MADE:,} bytes of this item")
    return data_of(made, content_type)


def _joined(join: Join, sent: Payload, data: bytes, content_type: str) -> tuple[bytes, str]:
    """CSV with CSV is one row; all else is a JSON object."""
    if join.merge and media_type(sent.content_type) == media_type(content_type) == CSV:
        try:
            return row_of(cells_of(sent.data) + cells_of(data)), CSV
        except FilterFailed:
            pass  # more rows than one: as any text
    came_out = embedded(data, content_type)
    members = _members(sent) if join.merge else None
    if members is None:
        members = {join.input: embedded(sent.data, sent.content_type)}
    return orjson.dumps(members | {join.output: came_out}), JSON


def _members(sent: Payload) -> dict[str, Any] | None:
    """Of an input that is an object."""
    if not is_json(sent.content_type):
        return None
    try:
        value = orjson.loads(sent.data)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
