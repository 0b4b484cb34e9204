"""What the predictor prints: passed on line by line, and its end kept for the dead letter of a crash."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable

TAIL_LIMIT = 16 * 1024
_LINE_LIMIT = 8 * 1024


def write_to_stderr(line: str) -> None:
    """Where a child's lines go unless the caller wants them elsewhere."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


class StderrPump:
    """Reads a pipe to its end in a thread of its own, so that a talkative predictor never waits for its parent.

    `on_line` is called in that thread, without the line's end; a line beyond 8 KiB comes in pieces. Whatever it raises,
    such as that the disk under the log is full, loses that line only: were the pipe closed, every `print` of the
    predictor would raise from then on, and its items fail for it.
    """

    def __init__(self, fd: int, on_line: Callable[[str], None]) -> None:
        self._fd = fd
        self._on_line = on_line
        self._tail = bytearray()
        self._thread = threading.Thread(target=self._run, name="predictor-stderr", daemon=True)
        self._thread.start()

    def finish(self, timeout_s: float) -> str:
        """The last 16 KiB. Waits up to the timeout for the pipe's end, which the predictor's own children may hold."""
        self._thread.join(timeout_s)
        return self.tail()

    def tail(self) -> str:
        """The last 16 KiB so far."""
        return bytes(self._tail).decode(errors="replace")

    def _run(self) -> None:
        line = bytearray()
        with os.fdopen(self._fd, "rb", buffering=0) as pipe:
            while chunk := pipe.read(65536):
                # One assignment: `tail` may be read by another thread at any moment.
                self._tail = (self._tail + chunk)[-TAIL_LIMIT:]
                line += chunk
                *complete, line = line.split(b"\n")
                for each in complete:
                    self._pass_on(each)
                while len(line) > _LINE_LIMIT:
                    self._pass_on(line[:_LINE_LIMIT])
                    line = line[_LINE_LIMIT:]
        if line:
            self._pass_on(line)

    def _pass_on(self, line: bytearray) -> None:
        with contextlib.suppress(Exception):
            self._on_line(line.decode(errors="replace"))
