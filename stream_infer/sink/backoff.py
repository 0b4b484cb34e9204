"""How long to wait before asking a service again that could not be reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Doubling from `first_s` up to `cap_s`. Time is an argument."""

    first_s: float = 0.25
    cap_s: float = 10.0
    not_before: float = 0.0
    _failures: int = 0

    def failed(self, now: float) -> float:
        """Returns the seconds to wait."""
        delay = float(min(self.cap_s, self.first_s * 2 ** min(self._failures, 20)))
        self._failures += 1
        self.not_before = now + delay
        return delay

    def worked(self) -> None:
        self._failures = 0
        self.not_before = 0.0
