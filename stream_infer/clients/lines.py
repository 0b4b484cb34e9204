"""From chunks of a stream to its lines, and from lines to server-sent events. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


class LineSplitter:
    """Takes chunks as they come, gives the lines that they complete, each with its line end."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # joined once its end has come: a line may be as large as an output

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        first, *others = chunk.split(b"\n")
        self._rest.append(first)
        for piece in others:
            line, self._rest = b"".join(self._rest), [piece]
            yield line + b"\n"

    def end(self) -> Iterator[bytes]:
        """What the stream ended in the middle of."""
        rest, self._rest = b"".join(self._rest), []
        if rest:
            yield rest + b"\n"


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event; `id` is the last one that was given."""

    name: str
    data: str
    id: str | None


@dataclass(slots=True)
class EventReader:
    """Takes a stream's lines, gives the events in them, as far as our gateway writes them; comments are events without
    data."""

    _name: str = "message"
    _data: str = ""
    _place: str | None = field(default=None)

    def take(self, raw: bytes) -> Event | None:
        """The event that this line completes."""
        line = raw.decode(errors="replace").rstrip("\r\n")
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._name = value
            case "data":
                self._data = value
            case "id":
                self._place = value
            case "" if not line:
                event = Event(self._name, self._data, self._place)
                self._name, self._data = "message", ""
                return event
        return None
