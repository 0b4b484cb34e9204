"""Ports for servers that start later than the test that chooses them."""

import random

from stream_infer.local.free_ports import is_free

# Below those that a connection is given by itself: one of the many that `up` opens took such a port meanwhile.
_FIRST, _LAST = 15_000, 32_000


def free_neighbours(count: int) -> int:
    """The first of `count` free ports in a row."""
    while True:
        first = random.randrange(_FIRST, _LAST - count)
        if all(is_free(first + number) for number in range(count)):
            return first
