"""TCP ports on the loopback interface."""

from __future__ import annotations

import contextlib
import random
import socket

# Below those that a connection is given by itself: one of the many that a broker's clients open would take the port
# between our look and the server's start, or between the server's end and its next start.
SERVERS = range(15_000, 32_000)

_CHANCE = random.SystemRandom()  # whoever seeds `random` would have two processes choose the same ones


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could bind `port` now. A socket in TIME_WAIT does not count."""
    with socket.socket() as probe:
        return _is_bound(probe, host, port)


def find_free(count: int, host: str = "127.0.0.1") -> list[int]:
    """`count` different ports that were free a moment ago. Raises OSError where there are not so many."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        for port in _CHANCE.sample(SERVERS, len(SERVERS)):
            if len(found) == count:
                return found
            if _is_bound(held.enter_context(socket.socket()), host, port):
                found.append(port)
    raise OSError(f"{host} has no {count} free ports from {SERVERS.start} to {SERVERS.stop - 1}")


def _is_bound(probe: socket.socket, host: str, port: int) -> bool:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((host, port))
    except OSError:
        return False
    return True
