"""TCP ports on the loopback interface."""

from __future__ import annotations

import contextlib
import socket


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could bind `port` now. A socket in TIME_WAIT does not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def find_free(count: int, host: str = "127.0.0.1") -> list[int]:
    """`count` different ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((host, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
