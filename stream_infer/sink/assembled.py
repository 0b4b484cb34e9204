"""`KEY.out`: the outputs of each object of a job's source, one behind the other, in the order of its items.

    lines of results and errors, by ordinal -> outcomes -> groups, an object of the source each -> chunks -> store

What is not whole is not written: an object with an item that failed, or, of a job that ended early, with items that are
missing. Nothing is held but what is being written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
import structlog

from stream_infer.errors import StreamInferError
from stream_infer.headers import ordinal_of
from stream_infer.jobs.assembling import ENDING, Assemble, key_of, object_of
from stream_infer.jobs.manifest import Assembled
from stream_infer.jobs.merge import blocks
from stream_infer.records import JSON, REFERENCE
from stream_infer.results import unpacked

log = structlog.get_logger(__name__)

BLOCK_BYTES = 256 * 1024


class _NotWhole(StreamInferError):
    """The object at hand is not to be written."""


class _Outcome(NamedTuple):
    """How one item ended. `place` is its line or row, where its object has several; `data` None: it failed."""

    ordinal: int
    uri: str
    place: int | None
    data: bytes | None
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is assembled. `is_early`: the job ended before its items had, so that some may be missing.

    `referenced` brings what lies in the store in a result's place, by its URI: None where that names no such thing;
    raises KeyError where it is gone.
    """

    job_id: str
    assemble: Assemble
    is_early: bool
    referenced: Callable[[str], bytes | None]


def assemble_objects(
    lines: Iterable[bytes], wanted: Wanted, put: Callable[[str, Iterable[bytes], str], None]
) -> Assembled:
    """`lines` are those of results and errors together, merged by ordinal. `put` writes an object whole or not at all,
    perhaps later.

    Raises what `put` and the reading of `lines` raise; doing it again writes the same.
    """
    outcomes = _Ahead(_outcomes(lines, wanted))
    written = left_out = 0
    base = wanted.assemble.base or ""
    while (first := outcomes.peek()) is not None:
        group = _Group(outcomes, first, wanted)
        key = key_of(first.uri, base) + ENDING
        try:
            put(key, group.chunks(), first.content_type)
            written += 1
        except _NotWhole as reason:
            left_out += 1
            log.info("object_left_out", job_id=wanted.job_id, source=first.uri, reason=str(reason))
        group.pass_over()
    return Assembled(objects=written, left_out=left_out)


class _Ahead:
    """Outcomes, of which the next can be seen before it is taken."""

    def __init__(self, outcomes: Iterator[_Outcome]) -> None:
        self._outcomes = outcomes
        self._next = next(outcomes, None)
        self.last = -1
        """The ordinal of the one that was taken last."""

    def peek(self) -> _Outcome | None:
        return self._next

    def take(self) -> None:
        self.last = self.last if self._next is None else self._next.ordinal
        self._next = next(self._outcomes, None)


class _Group:
    """The outcomes of one object, which follow each other."""

    def __init__(self, outcomes: _Ahead, first: _Outcome, wanted: Wanted) -> None:
        self._outcomes = outcomes
        self._wanted = wanted
        self._last: _Outcome | None = None
        self._first = first
        self._is_behind_gap = first.ordinal != outcomes.last + 1

    def chunks(self) -> Iterator[bytes]:
        return blocks(self._data(), BLOCK_BYTES)

    def _data(self) -> Iterator[bytes]:
        separator = b"\n" if self._wanted.assemble.separator == "line" else b""
        may_miss = self._wanted.is_early and self._first.place is not None
        if may_miss and self._is_behind_gap:
            raise _NotWhole("its first items may be missing")
        for outcome in self._members():
            if outcome.data is None:
                raise _NotWhole("an item of it failed")
            yield outcome.data if outcome.data.endswith(separator) else outcome.data + separator
        if may_miss:
            self._require_next()

    def _members(self) -> Iterator[_Outcome]:
        while (outcome := self._outcomes.peek()) is not None and self._has(outcome):
            is_next = outcome.ordinal == self._outcomes.last + 1
            if self._wanted.is_early and self._last is not None and not is_next:
                raise _NotWhole("an item of it is missing")
            self._last = outcome
            self._outcomes.take()
            yield outcome

    def _has(self, outcome: _Outcome) -> bool:
        """One without lines is an object of its own, and a file that is named twice is read twice."""
        if self._last is None:
            return True
        if outcome.uri != self._first.uri or outcome.place is None or self._last.place is None:
            return False
        return outcome.place > self._last.place

    def _require_next(self) -> None:
        """Only the item behind it, in another object, shows that this was all of it."""
        following = self._outcomes.peek()
        if following is None or following.ordinal != self._outcomes.last + 1:
            raise _NotWhole("its last items may be missing")

    def pass_over(self) -> None:
        """What was not read of it."""
        while (outcome := self._outcomes.peek()) is not None and self._has(outcome):
            self._last = outcome
            self._outcomes.take()


def _outcomes(lines: Iterable[bytes], wanted: Wanted) -> Iterator[_Outcome]:
    """Without what has no place in the source. An item that ended twice, since somebody sent it again, counts once."""
    last = -1
    for line in lines:
        try:
            value = orjson.loads(line)
            ordinal, source = ordinal_of(wanted.job_id, value["item_id"]), value["source"]
        except (orjson.JSONDecodeError, LookupError, TypeError):
            continue
        if ordinal is None or ordinal == last or not isinstance(source, str):
            continue
        last = ordinal
        uri, place = object_of(source)
        if "output" not in value:
            yield _Outcome(ordinal, uri, place, None)
        else:
            yield _Outcome(ordinal, uri, place, *output_of(line, value, wanted.referenced))


def output_of(
    line: bytes, value: dict[str, Any], referenced: Callable[[str], bytes | None]
) -> tuple[bytes | None, str]:
    """Of a line of results, and what it says, the output and its type: as the predictor gave it, byte for byte but for
    line ends in JSON. None where its payload is gone. `referenced`: see `Wanted`."""
    output, said = value["output"], value.get("content_type")
    packed = unpacked(output, said)
    if packed is not None:
        return packed, str(said)
    match output:
        case {"uri": str(uri), "content_type": str(kind)} if said == REFERENCE:
            try:
                data = referenced(uri)
            except (KeyError, ValueError):  # gone, or no place of ours: a predictor may answer whatever it likes
                return None, JSON
            if data is not None:
                return data, kind
    start = orjson.dumps({name: part for name, part in value.items() if name != "output"})[:-1] + b',"output":'
    if line.startswith(start):
        return line.rstrip()[len(start) : -1], JSON
    return orjson.dumps(output), JSON
