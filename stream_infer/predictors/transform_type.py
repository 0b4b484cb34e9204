"""What an item's content type says beside what it is: which answer is wanted, and how requests are made of items.

    text/csv; accept="application/json"; batch=lines; max-bytes=6291456

The parameters travel with each item, so a producer without a job may use them, too. Written where a SageMaker transform
job is translated, read by the predictors that answer requests (predictors/sagemaker.py).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

_PARAMETER = re.compile(r';\s*([A-Za-z0-9_-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;"]*)', re.ASCII)
_ESCAPED = re.compile(r"\\(.)")
_LINES = "lines"


@dataclass(frozen=True, slots=True)
class TransformType:
    """`content_type` with what parameters are not ours. `accept` None: the predictor's own default.

    `joins_lines`: items of a micro-batch may be put into one request, a line each. A request of more than `max_bytes`
    is not made: items are joined up to that, and an item that is larger is rejected; None: no limit.
    """

    content_type: str
    accept: str | None = None
    joins_lines: bool = False
    max_bytes: int | None = None

    def __str__(self) -> str:
        accept = None if self.accept is None else '"' + re.sub(r'(["\\])', r"\\\1", self.accept) + '"'
        said = {"accept": accept, "batch": _LINES if self.joins_lines else None, "max-bytes": self.max_bytes}
        parameters = [f"{name}={value}" for name, value in said.items() if value is not None]
        return "; ".join([self.content_type, *parameters])


@functools.lru_cache(maxsize=256)
def read_transform_type(text: str) -> TransformType:
    """Never raises: what cannot be understood is part of the content type."""
    accept, joins, limit, others = None, False, None, []
    kind, semicolon, rest = text.partition(";")
    for match in _PARAMETER.finditer(semicolon + rest):
        name, value = match[1].lower(), match[2].strip()
        plain = _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value
        if name == "accept" and plain:
            accept = plain
        elif name == "batch" and plain == _LINES:
            joins = True
        elif name == "max-bytes" and plain.isdecimal() and len(plain) < 16:
            limit = int(plain)
        else:
            others.append(f"{match[1]}={value}")
    return TransformType("; ".join([kind.strip(), *others]), accept, joins, limit)
