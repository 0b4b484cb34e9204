"""Whether a predictor's code can be imported: `python -m stream_infer.predictors.trial FD`, with its spec as JSON on
standard input. What is wrong is written to FD; nothing, where nothing is. No model is loaded."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from stream_infer.errors import PredictorUnavailable
from stream_infer.predictors.loader import constructor_of
from stream_infer.predictors.spec import PredictorSpec

# Less than a pipe holds, so that nobody waits for who reads it.
_LONGEST = 16_000


def fault(spec: PredictorSpec) -> str:
    """Empty where there is none."""
    try:
        constructor_of(spec)
    except PredictorUnavailable as error:
        missing = isinstance(error.__cause__, ModuleNotFoundError)
        return f"{error}, or name it in the requirements.txt of the code" if missing else str(error)
    return ""


def main(fd: int, values: dict[str, Any]) -> None:
    spec = PredictorSpec(**{**values, "path": tuple(values["path"])})
    with os.fdopen(fd, "w") as told:
        told.write(fault(spec)[:_LONGEST])


if __name__ == "__main__":
    main(int(sys.argv[1]), json.load(sys.stdin))
