"""Ports for servers that start later than the test that chooses them."""

import random

from stream_infer.local.free_ports import SERVERS, is_free

_CHANCE = random.SystemRandom()


def free_neighbours(count: int) -> int:
    """The first of `count` free ports in a row."""
    while True:
        first = _CHANCE.choice(SERVERS[:-count])
        if all(is_free(first + number) for number in range(count)):
            return first
