"""Ports for servers that start later than the test that chooses them."""

import random

from stream_infer.local.free_ports import SERVERS, hold, is_free

_CHANCE = random.SystemRandom()


def free_neighbours(count: int) -> int:
    """The first of `count` free ports in a row."""
    while True:
        first = _CHANCE.choice(SERVERS[:-count])
        ports = range(first, first + count)
        if all(is_free(port) for port in ports) and all(hold(port) for port in ports):
            return first
