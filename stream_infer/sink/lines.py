"""What the sink asks of a format: one line for each record. `connectors/formats` answers."""

from __future__ import annotations

from typing import Protocol

from stream_infer.dead_letters import DeadLetter
from stream_infer.records import Message


class Lines(Protocol):
    """Pure and total: a record that cannot be shown well is shown somehow. A line holds no line break but its last."""

    def result_line(self, message: Message) -> bytes: ...

    def error_line(self, letter: DeadLetter) -> bytes: ...
