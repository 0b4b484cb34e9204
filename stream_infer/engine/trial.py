"""A predictor's code imported once, in a process of its own, before anybody relies on it."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict

from stream_infer.engine.host import environment_for, interpreter_of
from stream_infer.errors import PredictorUnavailable
from stream_infer.predictors.spec import PredictorSpec

_MODULE = "stream_infer.predictors.trial"


def require_importable(spec: PredictorSpec, timeout_s: float) -> None:
    """What it prints goes to our standard error. Raises PredictorUnavailable, which says what is wrong, and where."""
    reading, writing = os.pipe()
    try:
        tried = subprocess.run(
            [*interpreter_of(spec), "-m", _MODULE, str(writing)],
            input=json.dumps(asdict(spec), default=str).encode(),
            env=environment_for(spec),
            stdout=2,
            pass_fds=(writing,),
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PredictorUnavailable(f"predictor {spec.target} took more than {timeout_s:.0f} s to be imported") from None
    finally:
        os.close(writing)
        fault = _told(reading)
    if fault:
        raise PredictorUnavailable(fault)
    if tried.returncode:
        raise PredictorUnavailable(f"predictor {spec.target}: importing it ended Python with status {tried.returncode}")


def _told(reading: int) -> str:
    """What the code has started may hold the other end for longer than it is told anything by."""
    os.set_blocking(reading, False)
    try:
        return os.read(reading, 65536).decode(errors="replace")
    except BlockingIOError:
        return ""
    finally:
        os.close(reading)
