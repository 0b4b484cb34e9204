"""How large a JSON value's text would be, without making it: one that shares its parts may be exponentially large."""

from __future__ import annotations

from typing import Any


def is_larger(value: Any, limit: int) -> bool:
    """Whether its text has more than about `limit` bytes. Looks at no more than that many parts."""
    left = limit
    stack = [value]
    while stack:
        part = stack.pop()
        left -= 1
        if isinstance(part, str):
            left -= len(part)
        elif isinstance(part, dict):
            left -= sum(map(len, part)) + len(part)
            stack.extend(part.values())
        elif isinstance(part, list):
            stack.extend(part)
        if left < 0:
            return True
    return False
