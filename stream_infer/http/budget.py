"""What the bodies of requests may take of a server's memory, all together and each caller's. Pure."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field

from stream_infer.http.callers import Caller
from stream_infer.http.problems import RETRY_AFTER_S, Problem, ProblemKind


@dataclass(slots=True)
class BodyBudget:
    """Of bodies that are held whole, `most` bytes at a time, `share` of them by one caller that has a key: where nobody
    is asked for one, all are the same. One event loop uses it."""

    most: int
    share: int
    _held: int = 0
    _of: MutableMapping[str, int] = field(default_factory=dict)

    def hold(self, caller: Caller) -> Held:
        return Held(self, caller)

    @property
    def held(self) -> int:
        return self._held

    @property
    def of(self) -> Mapping[str, int]:
        """Of each caller that has any."""
        return self._of

    def require_room(self, caller: Caller, size: int) -> None:
        """Raises a Problem where so many bytes more are too many."""
        own = self._of.get(caller.name, 0)
        if caller.key_id is not None and own + size > self.share:
            detail = (
                f"{caller.name} has bodies of {own} bytes in flight here; {self.share} is the most of one caller "
                f"(limits.caller_bodies_bytes). Send fewer at a time, and this one again in {RETRY_AFTER_S} s."
            )
            raise Problem(ProblemKind.BUSY, detail)
        if self._held + size > self.most:
            detail = (
                f"Bodies of {self._held} bytes are in flight here; {self.most} is the most (limits.bodies_bytes). Send "
                f"it again in {RETRY_AFTER_S} s, or to another replica."
            )
            raise Problem(ProblemKind.BUSY, detail)

    def take(self, caller: Caller, size: int) -> None:
        """Raises as `require_room`, and takes nothing then."""
        self.require_room(caller, size)
        self._held += size
        self._of[caller.name] = self._of.get(caller.name, 0) + size

    def give_back(self, caller: Caller, size: int) -> None:
        self._held -= size
        left = self._of.get(caller.name, 0) - size
        if left > 0:
            self._of[caller.name] = left
        else:
            self._of.pop(caller.name, None)


@dataclass(slots=True)
class Held:
    """What a request has of the budget, until it has been answered."""

    budget: BodyBudget
    caller: Caller
    size: int = 0

    def expect(self, size: int) -> None:
        """Of a body that says how long it is. Raises a Problem."""
        self.budget.require_room(self.caller, size)

    def take(self, size: int) -> None:
        """Raises a Problem."""
        self.budget.take(self.caller, size)
        self.size += size

    def release(self) -> None:
        self.budget.give_back(self.caller, self.size)
        self.size = 0
