"""What is on its way to a child: written at once where the socket takes it, else by a thread of its own.

Measured with items of 100 KB: written piece by piece in the turns of the thread that polls, a micro-batch of 25 MB took
more of them than the model took time.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Iterable

_JOIN_S = 1.0


class Outbox:
    """Used by one thread. A child that is gone shows when it is read from: what is for it is dropped."""

    def __init__(self, sock: socket.socket) -> None:
        """`sock` blocks."""
        self._sock = sock
        self._unsent: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._changing = threading.Lock()
        self._handed_over = 0

    def put(self, buffers: Iterable[bytes]) -> None:
        """Must not block."""
        for buffer in buffers:
            view = memoryview(buffer)
            if not self._handed_over:  # or it would overtake what the thread has
                view = self._send(view)
            if view:
                self._hand_over(view)

    def _send(self, view: memoryview) -> memoryview:
        """What of it the socket does not take now."""
        try:
            while view:
                view = view[self._sock.send(view, socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            return view
        except OSError:
            return view[:0]
        return view

    def _hand_over(self, view: memoryview) -> None:
        with self._changing:
            self._handed_over += 1
        self._unsent.put(view)
        if self._writer is None:
            self._writer = threading.Thread(target=self._write, name="outbox", daemon=True)
            self._writer.start()

    def _write(self) -> None:
        while (view := self._unsent.get()) is not None:
            with contextlib.suppress(OSError):
                self._sock.sendall(view)
            del view
            with self._changing:
                self._handed_over -= 1

    def close(self) -> None:
        """Ends the thread, and the connection with it."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        if self._writer is not None:
            self._unsent.put(None)
            self._writer.join(_JOIN_S)
        self._sock.close()
