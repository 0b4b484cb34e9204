"""TCP ports on the loopback interface."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections import deque
from collections.abc import Container

# Below those that a connection is given by itself: one of the many that a broker's clients open would take the port
# between our look and the server's start, or between the server's end and its next start.
SERVERS = range(15_000, 32_000)

# A server listens some seconds after its port was chosen, and one such port in CI was another's by then. So whoever
# chooses holds UDP's port of the same number, which is in no server's way and free again when its process ends; of many
# the latest ones.
_HELD = 64
_held: deque[int] = deque()

_CHANCE = random.SystemRandom()  # whoever seeds `random` would have two processes choose the same ones


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could bind `port` now. A socket in TIME_WAIT does not count."""
    with socket.socket() as probe:
        return _is_bound(probe, host, port)


def find_free(count: int, host: str = "127.0.0.1", but_not: Container[int] = ()) -> list[int]:
    """`count` different ports that are free, and that nobody else finds now. Raises OSError where there are fewer."""
    found: list[int] = []
    for port in _CHANCE.sample(SERVERS, len(SERVERS)):
        if len(found) == count:
            break
        if port not in but_not and is_free(port, host) and hold(port, host):
            found.append(port)
    if len(found) < count:
        raise OSError(f"{host} has no {count} free ports from {SERVERS.start} to {SERVERS.stop - 1}")
    return found


def hold(port: int, host: str = "127.0.0.1") -> bool:
    """Has `find_free` of every process pass `port` by; False where another choice has it."""
    with socket.socket(type=socket.SOCK_DGRAM) as holder:
        try:
            holder.bind((host, port))
        except OSError:
            return False
        _held.append(holder.detach())
    while len(_held) > _HELD:
        with contextlib.suppress(OSError):
            os.close(_held.popleft())
    return True


def _is_bound(probe: socket.socket, host: str, port: int) -> bool:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((host, port))
    except OSError:
        return False
    return True
