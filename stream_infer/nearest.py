"""What may have been meant by a name that there is not."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_ALIKE = 0.6
_LONGEST = 100


def nearest(given: str, known: Iterable[str], alike: float = _ALIKE) -> str | None:
    """The one of `known` that is written most alike, whatever its case and dashes; None where none is, by `alike`."""
    by_plain = {_plain(name): name for name in known}
    near = get_close_matches(_plain(given[:_LONGEST]), by_plain, n=1, cutoff=alike)
    return by_plain[near[0]] if near else None


def did_you_mean(given: str, known: Iterable[str], otherwise: str = "", alike: float = _ALIKE) -> str:
    """To stand behind a complaint: "; did you mean NAME?", or `otherwise`."""
    near = nearest(given, known, alike)
    return otherwise if near is None else f"; did you mean {near}?"


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
