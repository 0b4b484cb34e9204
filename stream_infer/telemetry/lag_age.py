"""How long a group's next record has been waiting, by the ends that were seen. Pure: time is passed in."""

from __future__ import annotations

from collections import deque

_MOST = 512


class LagAge:
    """Of one partition, looked at again and again. `now` in seconds of a clock that never goes back.

    A record came between the look that first saw it and the one before: the earlier is taken. What was there at the
    first look is as old as that. An end that has moved back, of a topic that was cut or made anew, takes with it what
    lay behind.
    """

    def __init__(self) -> None:
        self._marks: deque[tuple[int, float]] = deque()
        self._looked_at: float | None = None

    def note(self, place: int, end: int, now: float) -> float:
        """The age in seconds of the record at `place`; 0 where nothing lies before `end`."""
        marks = self._marks
        while marks and marks[0][0] <= place:
            marks.popleft()
        since = now if self._looked_at is None else self._looked_at
        while marks and marks[-1][0] > end:
            _, since = marks.pop()
        if end > place and (not marks or marks[-1][0] < end):
            marks.append((end, since))
        if len(marks) > _MOST:  # of a long backlog less is known of each record, and all of the first
            self._marks = deque([mark for at, mark in enumerate(marks) if at % 2 == 0])
        self._looked_at = now
        return now - self._marks[0][1] if self._marks else 0.0
