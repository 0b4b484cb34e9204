"""Applies filters and joins beside the thread that polls: one item may take a second, and a transaction is open."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from stream_infer.errors import ItemError, Stage
from stream_infer.records import Failure, Output, Payload
from stream_infer.shaping.shaping import Shaping


@dataclass(frozen=True, slots=True)
class ShapedInput:
    """What the predictor gets of the item of that token, or why it gets nothing."""

    token: int
    outcome: Payload | Failure


@dataclass(frozen=True, slots=True)
class ShapedOutput:
    """What is kept of the item's output, or why nothing is."""

    token: int
    outcome: Output | Failure


_Task: TypeAlias = Callable[[], None]


class ShapeStage:
    """Accepts work on one thread and hands over what came of it; never blocks that thread.

    `on_shaped` is called on the stage's own thread, once there is something where there was nothing. `seconds` and
    `items`: what all work so far has taken, and how much it was.
    """

    def __init__(self, on_shaped: Callable[[], None]) -> None:
        self._on_shaped = on_shaped
        self.seconds = 0.0
        self.items = 0
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._inputs: deque[ShapedInput] = deque()
        self._outputs: deque[ShapedOutput] = deque()
        self._thread = threading.Thread(target=self._work, name="shape", daemon=True)
        self.outputs_under_way: set[int] = set()
        """Tokens whose predictor has answered already."""

    def start(self) -> None:
        self._thread.start()

    def shape_input(self, token: int, shaping: Shaping, payload: Payload) -> None:
        self._tasks.put(partial(self._shape_input, token, shaping, payload))

    def shape_output(self, token: int, shaping: Shaping, sent: Payload, output: Output) -> None:
        """`sent`: what was sent for the item, before the input filter."""
        self.outputs_under_way.add(token)
        self._tasks.put(partial(self._shape_output, token, shaping, sent, output))

    def take_inputs(self) -> list[ShapedInput]:
        """Those done since the last call."""
        return [self._inputs.popleft() for _ in range(len(self._inputs))]

    def take_outputs(self) -> list[ShapedOutput]:
        """Those done since the last call."""
        taken = [self._outputs.popleft() for _ in range(len(self._outputs))]
        if taken:
            self.outputs_under_way.difference_update([shaped.token for shaped in taken])
        return taken

    def close(self, timeout_s: float = 5.0) -> None:
        """What has not begun is not done."""
        with contextlib.suppress(queue.Empty):  # the thread takes, too: to ask whether it is empty says nothing
            while True:
                self._tasks.get_nowait()
        self._tasks.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            began = time.monotonic()
            task()
            self.seconds += time.monotonic() - began
            self.items += 1
            if len(self._inputs) + len(self._outputs) == 1:  # looked at behind it: what was there may be taken by now
                self._on_shaped()
            del task  # or an idle thread would hold the last payload

    def _shape_input(self, token: int, shaping: Shaping, payload: Payload) -> None:
        outcome: Payload | Failure
        try:
            outcome = shaping.shape_input(payload)
        except Exception as error:  # noqa: BLE001 - also a library's bug is one item's failure
            outcome = _failure(error, Stage.INPUT_FILTER)
        self._inputs.append(ShapedInput(token, outcome))

    def _shape_output(self, token: int, shaping: Shaping, sent: Payload, output: Output) -> None:
        outcome: Output | Failure
        try:
            outcome = shaping.shape_output(sent, output)
        except Exception as error:  # noqa: BLE001 - as above
            outcome = _failure(error, Stage.OUTPUT_FILTER)
        self._outputs.append(ShapedOutput(token, outcome))


def _failure(error: Exception, stage: Stage) -> Failure:
    """The same would come of another attempt."""
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    stack = "" if isinstance(error, ItemError) else "".join(traceback.format_exception(error))
    said = str(error) or name
    traceback.clear_frames(error.__traceback__)  # as in fetch.py
    return Failure(stage, name, said, stack, final=True)
