"""What the bodies of requests may take of a server's memory, all together and each caller's. Pure.

Who names a caller and has not proved yet that it is that one has a small room beside the caller's own.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field

from stream_infer.http.callers import Caller
from stream_infer.http.problems import RETRY_AFTER_S, Problem, ProblemKind

# Of one request. AWS's clients sign their bodies, which are a few kilobytes for all that is served here.
UNPROVEN_BYTES = 1024 * 1024
# Of all that come under one caller's name at a time.
UNPROVEN_ROOM = 16 * UNPROVEN_BYTES


@dataclass(slots=True)
class BodyBudget:
    """Of bodies that are held whole, `most` bytes at a time, `share` of them by one caller that has a key: where nobody
    is asked for one, all are the same. One event loop uses it."""

    most: int
    share: int
    _held: int = 0
    _of: MutableMapping[str, int] = field(default_factory=dict)

    def hold(self, caller: Caller) -> Held:
        share = None if caller.key_id is None else self.share
        return Held(self, Room(caller.name, f"{caller.name} has bodies", share, "limits.caller_bodies_bytes"))

    def hold_unproven(self, caller: Caller) -> Held:
        """Until it is known whether it is `caller`: nobody who knows but a name fills what is that one's."""
        whose = f"requests that {caller.name} is said to have signed have bodies"
        most = min(UNPROVEN_ROOM, self.share)
        return Held(self, Room(f"{caller.name}, unproven", whose, most, "as far as their signatures are not known"))

    @property
    def held(self) -> int:
        return self._held

    @property
    def of(self) -> Mapping[str, int]:
        """Of each room that has any."""
        return self._of

    def require(self, room: Room, size: int) -> None:
        """Raises a Problem where so many bytes more are too many."""
        own = self._of.get(room.name, 0)
        if room.most is not None and own + size > room.most:
            detail = (
                f"{room.whose} of {own} bytes in flight here; {room.most} is the most of one caller "
                f"({room.setting}). Send fewer at a time, and this one again in {RETRY_AFTER_S} s."
            )
            raise Problem(ProblemKind.BUSY, detail)
        if self._held + size > self.most:
            detail = (
                f"Bodies of {self._held} bytes are in flight here; {self.most} is the most (limits.bodies_bytes). Send "
                f"it again in {RETRY_AFTER_S} s, or to another replica."
            )
            raise Problem(ProblemKind.BUSY, detail)

    def take(self, room: Room, size: int) -> None:
        """Raises as `require`, and takes nothing then."""
        self.require(room, size)
        self._held += size
        self._of[room.name] = self._of.get(room.name, 0) + size

    def give_back(self, room: Room, size: int) -> None:
        self._held -= size
        left = self._of.get(room.name, 0) - size
        if left > 0:
            self._of[room.name] = left
        else:
            self._of.pop(room.name, None)


@dataclass(frozen=True, slots=True)
class Room:
    """What the bodies under one `name` may take, `most` bytes at a time; None: what is there. `whose` and `setting` are
    what is said where that is too little."""

    name: str
    whose: str
    most: int | None
    setting: str


@dataclass(slots=True)
class Held:
    """What a request has of the budget, until it has been answered."""

    budget: BodyBudget
    room: Room
    size: int = 0

    def expect(self, size: int) -> None:
        """Of a body that says how long it is. Raises a Problem."""
        self.budget.require(self.room, size)

    def take(self, size: int) -> None:
        """Raises a Problem."""
        self.budget.take(self.room, size)
        self.size += size

    def prove(self, caller: Caller) -> None:
        """It is `caller`, whose own room has it from now on. Raises a Problem, and holds nothing then."""
        size = self.size
        self.release()
        self.room = self.budget.hold(caller).room
        self.take(size)

    def release(self) -> None:
        self.budget.give_back(self.room, self.size)
        self.size = 0
