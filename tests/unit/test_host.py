"""The parent's end of a predictor's process."""

from pathlib import Path
from typing import Any

import pytest

from stream_infer.engine import host
from stream_infer.engine.policy import EnginePolicy
from stream_infer.predictors.spec import PredictorSpec


def test_a_process_that_cannot_be_started_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(host, "_spawn", fail)
    before = open_files()

    for _ in range(3):
        with pytest.raises(OSError, match="no more processes"):
            host.Host(PredictorSpec("native", "a.py:B"), EnginePolicy(), print)

    assert open_files() == before


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
