"""What was said on the command line, as the body of a request: what was not said is the receiver's to choose."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def given(value: Any) -> Any:
    """Without what is None, however deep, and without parts of which nothing is left."""
    if not isinstance(value, Mapping):
        return value
    said = {name: given(part) for name, part in value.items() if part is not None}
    return {name: part for name, part in said.items() if part != {} or value[name] == {}}


def output_place(text: str) -> str:
    """s3:// and file:// as they are; a path, where there need not be anything yet, as the file:// URI it means here."""
    return text if "://" in text else Path(text).expanduser().absolute().as_uri()
