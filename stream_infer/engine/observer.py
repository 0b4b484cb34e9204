"""Who is told of what an engine does, once a micro-batch: on its thread, and without blocking it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Protocol


class CallEnd(StrEnum):
    """How a micro-batch ended that was not answered; it is called again, whole or in parts."""

    RAISED = "raised"
    MISCOUNTED = "miscounted"
    OUT_OF_MEMORY = "out_of_memory"
    LOST = "lost"


class ChildEnd(StrEnum):
    """How a predictor's process ended. KILLED: by SIGKILL, and not by us; OUT_OF_MEMORY: by us, before the kernel."""

    CRASHED = "crashed"
    KILLED = "killed"
    HUNG = "hung"
    OUT_OF_MEMORY = "out_of_memory"
    NOT_LOADED = "not_loaded"
    RENEWED = "renewed"


class EngineObserver(Protocol):
    def answered(self, items: int, seconds: float, prepare_s: float, model_s: float) -> None:
        """A micro-batch of so many `items` has taken the child's main thread `seconds`: of them `prepare_s` until its
        items were ready, and `model_s` in `predict`; the rest went into its outputs."""
        ...

    def failed(self, end: CallEnd) -> None: ...

    def child_ended(self, how: ChildEnd) -> None: ...


class Unobserved:
    """Nobody is told."""

    def answered(self, items: int, seconds: float, prepare_s: float, model_s: float) -> None: ...

    def failed(self, end: CallEnd) -> None: ...

    def child_ended(self, how: ChildEnd) -> None: ...


UNOBSERVED: Final = Unobserved()
