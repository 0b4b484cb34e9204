"""What a predictor took to be ready."""

from __future__ import annotations

from dataclasses import asdict, dataclass


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
