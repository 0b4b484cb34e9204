"""A predictor of numbers: what a filter leaves of items that have more."""

from typing import Any


class Doubling:
    def __init__(self, config: dict[str, Any]) -> None: ...

    def predict(self, items: list[float]) -> list[float]:
        return [2 * item for item in items]
