"""Who is told of what a sink does, once a flush or a step: on the polling thread, and without blocking it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from stream_infer.sink.backlog import Step
from stream_infer.sink.upload import Upload


class SinkObserver(Protocol):
    def committed(self, uploads: Sequence[Upload], now: float) -> None:
        """One transaction with these, at `now` in monotonic seconds."""
        ...

    def aborted(self) -> None:
        """The objects are there; the transaction is made again."""
        ...

    def began_anew(self) -> None:
        """Kafka was away, or another sink has taken over: what was held is read again."""
        ...

    def store_kept_waiting(self) -> None: ...

    def step_done(self, step: Step) -> None:
        """Of a job's end, and committed."""
        ...


class Unobserved:
    """Nobody is told."""

    def committed(self, uploads: Sequence[Upload], now: float) -> None: ...

    def aborted(self) -> None: ...

    def began_anew(self) -> None: ...

    def store_kept_waiting(self) -> None: ...

    def step_done(self, step: Step) -> None: ...


UNOBSERVED: Final = Unobserved()
