"""What a predictor took to be ready."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

# proc(5): fields are counted behind the name, which is in parentheses and may hold blanks; `starttime` is the 22nd.
_START_TIME = 22 - 3


@dataclass(frozen=True, slots=True)
class Loading:
    """Seconds. `process`: its interpreter, and what the engine needs there; then its module with all that this imports,
    its constructor, and its warm-up with the search for a batch size."""

    process: float
    module: float
    constructor: float
    warm_up: float

    def seconds(self) -> dict[str, float]:
        return {part: round(took, 3) for part, took in asdict(self).items()}


def process_age() -> float:
    """Seconds since this process was started, to a hundredth; 0 where the system does not say (not Linux)."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        began = int(fields[_START_TIME]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began)
    except (OSError, AttributeError, ValueError):
        return 0.0
