"""Calls as the child is told them, and its answers as those of tasks. By column: this runs for every item."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from typing import Any, cast

from stream_infer.engine.isolation import Call
from stream_infer.engine.task import AlikeAnswers, AlikeTasks, Answer, Task, tokens_of
from stream_infer.engine.wire import ToChild, read_failure
from stream_infer.records import Output

_CALL, _HOOK = ToChild.CALL.value, ToChild.HOOK.value


def message_for(call: Call) -> tuple[Any, ...]:
    """The CALL or HOOK message: the content types as one string where all are alike, which they nearly always are."""
    tasks = call.tasks
    if isinstance(tasks, AlikeTasks):
        return (_CALL, call.id, tasks.content_type, tasks.payloads, None)
    first = tasks[0]
    if first.hook is not None:
        return (_HOOK, call.id, first.payload.data)
    payloads = [task.payload for task in tasks]
    types = [payload.content_type for payload in payloads]
    alike = types[0] if types.count(types[0]) == len(types) else types
    batch = None if first.scope is None else (batch_id(tasks), first.scope.job)
    return (_CALL, call.id, alike, [payload.data for payload in payloads], batch)


def batch_id(tasks: Sequence[Task]) -> str:
    """A UUID that follows from the names of the items: a micro-batch that is run again is called alike, and whoever
    writes its outputs under that name writes over what it wrote; a part of it is called otherwise."""
    names = "\n".join(task.name for task in tasks)
    return str(uuid.UUID(bytes=hashlib.blake2b(names.encode(), digest_size=16).digest()))


def answers_to(
    call: Call, values: list[bytes | None], types: str | list[str], rejected: dict[int, tuple[Any, ...]]
) -> list[Answer] | AlikeAnswers:
    """What a DONE message says. ValueError: it does not fit the call."""
    tokens = tokens_of(call.tasks)
    if len(values) != len(tokens):
        raise ValueError(f"{len(values)} values for {len(tokens)} items")
    if isinstance(types, str) and isinstance(call.tasks, AlikeTasks) and not rejected and None not in values:
        return AlikeAnswers(tokens, cast("list[bytes]", values), types)
    kinds = [types] * len(values) if isinstance(types, str) else types
    answers = [Answer(token, Output(value, kind)) for token, value, kind in zip(tokens, values, kinds, strict=True)]
    for index, failure in rejected.items():
        answers[index] = Answer(answers[index].token, read_failure(failure))
    return answers
