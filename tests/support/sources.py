"""A source that a test has in its hand."""

import threading
from collections.abc import Iterator

from stream_infer.errors import SourceError
from stream_infer.ports import SourceItem
from stream_infer.records import Payload
from tests.support.intake_harness import WAIT_S


class Numbers:
    """A source of `count` items, that breaks off with `error` behind them, and can be held up at one of them."""

    def __init__(self, count: int, *, error: str | None = None, size: int = 1) -> None:
        self.count = count
        self.error = error
        self.size = size
        self.hold_at: int | None = None
        self.held = threading.Event()
        self.release = threading.Event()

    def read(self, after: str | None) -> Iterator[SourceItem]:
        for number in range(int(after or 0), self.count):
            if number == self.hold_at:
                self.held.set()
                self.release.wait(WAIT_S)
            data = str(number).encode().rjust(self.size, b" ")
            yield SourceItem(Payload(data), f"numbers#{number}", str(number + 1))
        if self.error is not None:
            raise SourceError(self.error)
