"""Who is told which calls are in the child, so that somebody knows when the whole container is killed with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Journal(Protocol):
    """Told of each call before the child gets it and when it is over; what has begun and not ended is suspect.

    Called in the thread that polls the engine, per micro-batch: both must be quick.
    """

    def begun(self, call_id: int, tokens: Sequence[int], *, alone: bool) -> None:
        """The call is about to be handed to the child. `alone`: it is one suspect, and nothing else is in there."""
        ...

    def ended(self, call_id: int) -> None:
        """The call is answered, or its child is gone and it was judged, or it waits again for another child."""
        ...
