"""Many rejected items in few lines: the first of a kind at once, then one a second with their number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

_EVERY_S = 1.0


class Kind(NamedTuple):
    """What the items of a line have in common. `exception` is the class's full name."""

    job_id: str
    stage: str
    exception: str


@dataclass(frozen=True, slots=True)
class Rejections:
    """`count` items of a kind, one of them by name, and by its trace where it has one."""

    kind: Kind
    count: int
    item_id: str
    message: str
    trace_id: str | None = None


class RejectionDigest:
    """Pure; `now` in seconds of a clock that never goes back. Bounded by the kinds of one second."""

    def __init__(self) -> None:
        self._waiting: dict[Kind, Rejections] = {}
        self._said: dict[Kind, float] = {}

    def add(self, kind: Kind, item_id: str, message: str, trace_id: str | None = None) -> None:
        """One more item is rejected; the first of those that wait to be said is the example."""
        first = self._waiting.get(kind)
        if first is None:
            self._waiting[kind] = Rejections(kind, 1, item_id, message, trace_id)
        else:
            self._waiting[kind] = replace(first, count=first.count + 1)

    def due(self, now: float, *, at_once: bool = False) -> list[Rejections]:
        """What is to be said now, each kind at most once a second; `at_once`: all of it, at the end."""
        self._said = {kind: at for kind, at in self._said.items() if now - at < _EVERY_S}
        ready = [kind for kind in self._waiting if at_once or kind not in self._said]
        self._said.update(dict.fromkeys(ready, now))
        return [self._waiting.pop(kind) for kind in ready]
