"""How many of a job's items are where. The same type serves as a sum and as a delta."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from stream_infer.jobs.bounds import MOST_ITEMS, Items


class Counts(BaseModel):
    """Items, but for the last two.

    `written` are records put on results and dlq, `sunk` those of them that lie in committed objects. Neither ever
    falls. A None output adds to `succeeded` alone. `reopened` counts dead letters that were replayed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    enqueued: Items = 0
    succeeded: Items = 0
    rejected: Items = 0
    skipped: Items = 0
    reopened: Items = 0
    written: Items = 0
    sunk: Items = 0

    @property
    def ended(self) -> int:
        return self.succeeded + self.rejected + self.skipped

    @property
    def waiting(self) -> int:
        return self.enqueued - self.ended

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            enqueued=_sum(self.enqueued, other.enqueued),
            succeeded=_sum(self.succeeded, other.succeeded),
            rejected=_sum(self.rejected, other.rejected),
            skipped=_sum(self.skipped, other.skipped),
            reopened=_sum(self.reopened, other.reopened),
            written=_sum(self.written, other.written),
            sunk=_sum(self.sunk, other.sunk),
        )


def _sum(one: int, other: int) -> int:
    """Stays where it may be: no number of strange deltas makes a sum that cannot be read back."""
    return max(-MOST_ITEMS, min(MOST_ITEMS, one + other))
