"""Which delivery is to be sent next: those of a host in the order in which they are due, and the hosts in turn."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from stream_infer.jobs.deliveries import Delivery


@dataclass(slots=True)
class Due:
    """Nothing is ever taken out but when its time has come: what is not as it was by then is passed over. No I/O."""

    _lines: dict[str, list[tuple[float, int, Delivery]]] = field(default_factory=dict)
    _order: Iterator[int] = field(default_factory=count)

    def put(self, host: str, delivery: Delivery, at: float) -> None:
        """One that is due then."""
        heapq.heappush(self._lines.setdefault(host, []), (at, next(self._order), delivery))

    def take(
        self, now: float, is_current: Callable[[Delivery], bool], has_room: Callable[[str], bool]
    ) -> Iterator[tuple[str, Delivery]]:
        """Those that are due, each with its host, as long as there is room for one more of that; whoever was served
        comes last the next time. `has_room` is asked anew before each.
        """
        for host in tuple(self._lines):
            line, is_served = self._lines[host], False
            while line and line[0][0] <= now and has_room(host):
                _, _, delivery = heapq.heappop(line)
                if is_current(delivery):
                    is_served = True
                    yield host, delivery
            if not line:
                del self._lines[host]
            elif is_served:
                self._lines[host] = self._lines.pop(host)  # behind all others
