"""Carries a client's steps out by hand: no HTTP."""

from collections.abc import Callable
from typing import Any, TypeVar

from stream_infer.clients.call import Call
from stream_infer.clients.steps import Pause, Step, Steps
from stream_infer.errors import StreamInferError

T = TypeVar("T")


def carry_out(steps: Steps[T], answer: Callable[[Any], Any]) -> tuple[T, list[Step]]:
    """What comes of `steps`, and what they asked for. `answer` makes what a step is told, or an error that it gets."""
    seen: list[Step] = []
    told: Any = None
    try:
        while True:
            step = steps.throw(told) if isinstance(told, StreamInferError) else steps.send(told)
            seen.append(step)
            told = None if isinstance(step, Pause) else answer(step)
    except StopIteration as end:
        return end.value, seen


def asked(steps: list[Step]) -> list[str]:
    """METHOD path, of the calls."""
    return [f"{step.request.method} {step.request.path}" for step in steps if isinstance(step, Call)]
