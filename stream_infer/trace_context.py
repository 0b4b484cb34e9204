"""Whose trace something belongs to, as W3C's `traceparent` and `tracestate` say it. Pure.

Read by https://www.w3.org/TR/trace-context/: what breaks its rules is no context, and never anybody's fault; a record's
own headers are carried on as they came, whatever they say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]*)?")
_LONGEST = 512
_KNOWN_FLAGS = 0b11  # sampled, and that the trace id is random
_SAMPLED = 0b1
_MEMBERS = 32
_MEMBER = re.compile(r"([a-z0-9][a-z0-9_*/@-]{0,255})=([ -+\--<>-~]{0,255}[!-+\--<>-~])")


class TraceContext(NamedTuple):
    """A span of somebody's trace: ids in lower-case hexadecimal digits, 32 and 16. `state` is the vendors' own."""

    trace_id: str
    span_id: str
    flags: int = _SAMPLED
    state: str = ""

    @property
    def is_sampled(self) -> bool:
        """Whether who began the trace wants to see it."""
        return bool(self.flags & _SAMPLED)

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def read_context(traceparent: str | bytes | None, tracestate: str | bytes | None = None) -> TraceContext | None:
    """The context that the headers name; None where they name none. A `tracestate` that is broken is left out."""
    match = _TRACEPARENT.fullmatch(_text(traceparent))
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    is_later_version = version != "00"
    if version == "ff" or (more is not None and not is_later_version) or not (int(trace_id, 16) and int(span_id, 16)):
        return None
    return TraceContext(trace_id, span_id, int(flags, 16) & _KNOWN_FLAGS, _state(_text(tracestate)))


def sampled_contexts(traceparents: Iterable[str | bytes], most: int) -> list[TraceContext]:
    """The sampled ones among them, each once, `most` at the most."""
    found: dict[TraceContext, None] = {}
    for text in dict.fromkeys(traceparents):
        context = read_context(text)
        if context is not None and context.is_sampled:
            found[context] = None
            if len(found) >= most:
                break
    return list(found)


def _text(value: str | bytes | None) -> str:
    """What is too long, or no ASCII, says nothing."""
    if value is None or len(value) > _LONGEST:
        return ""
    if isinstance(value, str):
        return value
    try:
        return value.decode("ascii")
    except UnicodeDecodeError:
        return ""


def _state(text: str) -> str:
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    matches = [_MEMBER.fullmatch(member) for member in members]
    keys = {match[1] for match in matches if match is not None}
    return ",".join(members) if len(keys) == len(members) <= _MEMBERS else ""
