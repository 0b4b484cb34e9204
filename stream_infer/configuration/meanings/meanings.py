"""The type of a part of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from pydantic import BaseModel

Meanings: TypeAlias = Mapping[type[BaseModel], Mapping[str, str]]
"""Of each model the meaning of each of its keys that holds a value."""
