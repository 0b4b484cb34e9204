"""What a filter is in either of its languages: from a JSON value to a JSON value, in so many steps.

Whoever may submit a job may write a filter. So no filter runs regular expressions, and none does more than a bounded
number of steps for an item: a line of JMESPath that doubles a list forty times is 300 bytes.
"""

from __future__ import annotations

from typing import Any, Protocol

MOST_STEPS = 500_000
"""Of one filter for one item: about a second."""


class MalformedFilter(ValueError):
    """The text is no filter. Says where; `position` counts characters from 0."""

    def __init__(self, text: str, position: int, reason: str, language: str) -> None:
        self.position = min(max(position, 0), len(text))
        near = text[self.position : self.position + 20]
        where = f"at character {self.position + 1}, {near!r}" if near else f"at its end, character {self.position + 1}"
        advice = "" if language == "JSONPath" else "; JSONPath begins with $"
        super().__init__(f"{text!r} is no {language}: {reason} ({where}){advice}")


class FilterFailed(ValueError):
    """The filter cannot be applied to this value. Says why."""


class Filter(Protocol):
    """Not to be used by two threads at a time. `may_enlarge`: what it makes of a value may be larger than that."""

    @property
    def may_enlarge(self) -> bool: ...

    def __call__(self, value: Any) -> Any:
        """Raises FilterFailed."""
        ...


class Steps:
    """What a filter has left to do for one value."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MOST_STEPS

    def begin(self) -> None:
        self._left = MOST_STEPS

    def spend(self, steps: int = 1) -> None:
        """Raises FilterFailed where they are used up."""
        self._left -= steps
        if self._left < 0:
            raise FilterFailed(f"it takes more than {MOST_STEPS:,} steps for this item")
