"""One item for a prediction, and its output."""

from __future__ import annotations

import json
import mimetypes
import os
from pathlib import Path
from typing import Any

from stream_infer.clients.packing import json_line
from stream_infer.errors import UsageError

_JSON = "application/json"
_OCTETS = "application/octet-stream"


def payload_of(payload: Any, content_type: str | None) -> tuple[bytes, str]:
    """The bytes and what they are: by `content_type`, a file by its name, anything that is neither as JSON. Raises
    UsageError."""
    match payload:
        case bytes() | bytearray() | memoryview():
            return bytes(payload), content_type or _OCTETS
        case os.PathLike():
            path = Path(payload)
            try:
                return path.read_bytes(), content_type or mimetypes.guess_type(path.name)[0] or _OCTETS
            except OSError as error:
                raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
        case _:
            return json_line(payload, 0).rstrip(b"\n"), content_type or _JSON


def output_of(output: bytes, content_type: str) -> Any:
    """A JSON value, or the bytes of anything else."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == _JSON or kind.endswith("+json"):
        return json.loads(output) if output else None
    return output
