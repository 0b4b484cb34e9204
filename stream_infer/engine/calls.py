"""Calls as the child is told them, and its answers as those of tasks. Comprehensions: this runs for every item."""

from __future__ import annotations

from itertools import repeat
from operator import itemgetter
from typing import Any

from stream_infer.engine.isolation import Call
from stream_infer.engine.task import Answer, Task
from stream_infer.engine.wire import ToChild, read_failure
from stream_infer.records import Output, rows

_TOKEN = itemgetter(Task._fields.index("token"))


def message_for(call: Call) -> tuple[Any, ...]:
    """The CALL or HOOK message: the content types as one string where all are alike, which they nearly always are."""
    tasks = call.tasks
    first = tasks[0]
    if first.hook is not None:
        return (ToChild.HOOK.value, call.id, first.hook, first.payload.data)
    payloads = [task.payload for task in tasks]
    types = [payload.content_type for payload in payloads]
    alike = types[0] if types.count(types[0]) == len(types) else types
    return (ToChild.CALL.value, call.id, alike, [payload.data for payload in payloads])


def answers_to(
    call: Call, values: list[bytes | None], types: str | list[str], rejected: dict[int, tuple[Any, ...]]
) -> list[Answer]:
    """What a DONE message says. ValueError: it does not fit the call."""
    if isinstance(types, str):
        if len(values) != len(call.tasks):
            raise ValueError(f"{len(values)} values for {len(call.tasks)} items")
        answers = rows(Answer, map(_TOKEN, call.tasks), rows(Output, values, repeat(types)))
    else:
        triples = zip(call.tasks, values, types, strict=True)
        answers = [Answer(task.token, Output(value, kind)) for task, value, kind in triples]
    for index, failure in rejected.items():
        answers[index] = Answer(answers[index].token, read_failure(failure))
    return answers
