"""A predictor: `predictor: {type: plugin, name: word-count}` counts the words of each item's text."""

from collections.abc import Mapping, Sequence
from typing import Any


class WordCount:
    def __init__(self, config: Mapping[str, Any]) -> None:
        self._field = str(config.get("field", "text"))

    def predict(self, items: Sequence[Any]) -> list[Any]:
        return [self._counted(item) for item in items]

    def _counted(self, item: Any) -> dict[str, int] | Exception:
        text = item.get(self._field) if isinstance(item, dict) else None
        return {"words": len(text.split())} if isinstance(text, str) else ValueError(f"no text in {self._field!r}")
