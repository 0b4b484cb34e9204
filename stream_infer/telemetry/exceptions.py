"""Exceptions as a label: there is no end of a user's own classes, but of those that others have written there is."""

from __future__ import annotations

import builtins
from typing import Final

OTHER: Final = "other"
_OF_PYTHON = frozenset(
    name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)
)
_LIBRARIES = (
    "PIL.", "aiohttp.", "asyncio.", "botocore.", "concurrent.", "json.", "numpy.", "orjson.", "pydantic_core.",
    "socket.", "ssl.", "stream_infer.", "torch.", "urllib3.",
)  # fmt: skip


def as_label(name: str) -> str:
    """`name` is a class's full name, as dead letters have it; that of an unknown one is OTHER."""
    return name if name in _OF_PYTHON or name.startswith(_LIBRARIES) else OTHER
