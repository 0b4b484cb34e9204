"""A record of `results` or `dlq` as a line, and where the line goes. Never raises for what a record holds."""

from __future__ import annotations

from stream_infer.dead_letters import read_dead_letter
from stream_infer.headers import ordinal_of, read_item, result_format_of
from stream_infer.jobs.manifest import Kind
from stream_infer.records import Item, Message
from stream_infer.results import ResultFormat
from stream_infer.sink.lines import Lines
from stream_infer.sink.names import Destination, hour_of, is_job_id
from stream_infer.sink.packed_lines import Line


def read_line(message: Message, kind: Kind, lines: Lines) -> tuple[Destination, Line]:
    """A job need not be known: a record that carries a job's id goes to that job, any other to its hour."""
    if kind is Kind.ERRORS:
        letter = read_dead_letter(message)
        item, job_id, data = letter.item, letter.job_id, lines.error_line(letter)
    else:
        item = read_item(message)
        job_id, data = item.job_id, lines.result_line(message)
    if not data.endswith(b"\n"):
        data += b"\n"
    format_ = result_format_of(message) if kind is Kind.RESULTS else None
    return _destination(item, job_id, format_), Line(message.offset, ordinal_of(item.job_id, item.item_id), data)


def _destination(item: Item, job_id: str | None, format_: str | None) -> Destination:
    """A dead letter that no worker wrote counts in no job, though it may name one.

    An object for each item needs the item's place in its job, so results of no job have none.
    """
    if job_id is not None and is_job_id(job_id):
        return Destination(job_id, item.generation, format=format_)
    common = None if format_ == ResultFormat.PER_ITEM else format_
    return Destination(None, hour=hour_of(item.message.timestamp_ms), format=common)
