"""A wait for a child that another thread may end."""

from __future__ import annotations

import contextlib
import select
import socket


class Waking:
    """Sockets: once closed, their objects write to nobody, where a number might be somebody else's by then."""

    def __init__(self) -> None:
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)

    def wake(self) -> None:
        """Ends the wait, or the next one. From any thread."""
        with contextlib.suppress(OSError):  # it is awake already, or closed
            self._waker.send(b"w")

    def wait(self, child: socket.socket | None, timeout_s: float) -> bool:
        """Until the child says something, somebody calls `wake`, or the time is over. True: somebody called `wake`."""
        poller = select.poll()
        poller.register(self._woken, select.POLLIN)
        if child is not None:
            poller.register(child, select.POLLIN)
        ready = {fd for fd, _ in poller.poll(timeout_s * 1000)}
        if self._woken.fileno() not in ready:
            return False
        self._woken.recv(4096)
        return True

    def close(self) -> None:
        self._woken.close()
        self._waker.close()
