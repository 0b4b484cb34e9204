"""What goes into the engine and what comes out of it. Tuples: some hundred thousand are made a second."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self, TypeAlias, overload

from stream_infer.records import Failure, Output, Payload


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose items share a micro-batch: those of one job, and of them those of one `part`, where it is cut into parts.

    `most`: items of one micro-batch. `job`: the job, packed (see wire.py), for the predictor's instance of it.
    """

    job_id: str | None
    part: int | None = None
    most: int | None = field(default=None, compare=False)
    job: bytes | None = field(default=None, compare=False)

    def limit(self, most: int) -> int:
        return most if self.most is None else min(self.most, most)


class Task(NamedTuple):
    """One item for the predictor. `token` is the caller's own, unique among the tasks in flight.

    Tasks of different `scope` never share a micro-batch; None where the predictor is not job-scoped.
    `hook`: not an item but the job whose `on_job_complete` is to be called; its payload is the job, packed.
    `suspect`: a process died with it before, so it is run alone, and rejected if one does again (see isolation.py).
    `name`: of the item, where it has a scope: the same whenever it is read.
    """

    token: int
    payload: Payload
    scope: Scope | None = None
    hook: str | None = None
    suspect: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class AlikeTasks(Sequence[Task]):
    """Tasks of one content type and no more to them, by column: no object is made of each unless it is asked for."""

    tokens: list[int]
    payloads: list[bytes]
    content_type: str

    def __len__(self) -> int:
        return len(self.tokens)

    @overload
    def __getitem__(self, at: int) -> Task: ...

    @overload
    def __getitem__(self, at: slice) -> Self: ...

    def __getitem__(self, at: int | slice) -> Task | Self:
        if isinstance(at, slice):
            return type(self)(self.tokens[at], self.payloads[at], self.content_type)
        return Task(self.tokens[at], Payload(self.payloads[at], self.content_type))

    def without(self, tokens: Container[int]) -> Self:
        kept = [at for at, token in enumerate(self.tokens) if token not in tokens]
        return type(self)([self.tokens[at] for at in kept], [self.payloads[at] for at in kept], self.content_type)


class Answer(NamedTuple):
    """What became of the task of that token."""

    token: int
    outcome: Output | Failure


class AlikeAnswers(NamedTuple):
    """Outputs of one content type, of which none is None."""

    tokens: list[int]
    values: list[bytes]
    content_type: str

    def each(self) -> list[Answer]:
        return [
            Answer(token, Output(value, self.content_type))
            for token, value in zip(self.tokens, self.values, strict=True)
        ]


Answers: TypeAlias = Sequence[Answer | AlikeAnswers]


def without(answers: Answers, tokens: Container[int]) -> list[Answer | AlikeAnswers]:
    """The answers but those of `tokens`."""
    left: list[Answer | AlikeAnswers] = []
    for answer in answers:
        if isinstance(answer, AlikeAnswers):
            kept = [one for one in answer.each() if one.token not in tokens]
            left += [answer] if len(kept) == len(answer.tokens) else kept
        elif answer.token not in tokens:
            left.append(answer)
    return left


def size_of(tasks: Sequence[Task]) -> int:
    """Their payloads' bytes."""
    if isinstance(tasks, AlikeTasks):
        return sum(map(len, tasks.payloads))
    return sum([len(task.payload.data) for task in tasks])


def tokens_of(tasks: Sequence[Task]) -> list[int]:
    return tasks.tokens if isinstance(tasks, AlikeTasks) else [task.token for task in tasks]
