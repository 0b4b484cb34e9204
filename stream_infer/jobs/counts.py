"""How many of a job's items are where. The same type serves as a sum and as a delta."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Counts(BaseModel):
    """Items, but for the last two.

    `written` are records put on results and dlq, `sunk` those of them that lie in committed objects. Neither ever
    falls. A None output adds to `succeeded` alone. `reopened` counts dead letters that were replayed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    enqueued: int = 0
    succeeded: int = 0
    rejected: int = 0
    skipped: int = 0
    reopened: int = 0
    written: int = 0
    sunk: int = 0

    @property
    def ended(self) -> int:
        return self.succeeded + self.rejected + self.skipped

    @property
    def waiting(self) -> int:
        return self.enqueued - self.ended

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            enqueued=self.enqueued + other.enqueued,
            succeeded=self.succeeded + other.succeeded,
            rejected=self.rejected + other.rejected,
            skipped=self.skipped + other.skipped,
            reopened=self.reopened + other.reopened,
            written=self.written + other.written,
            sunk=self.sunk + other.sunk,
        )
