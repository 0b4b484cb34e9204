"""Who is told of what a worker's loop does, once a transaction: on its thread, and without blocking it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from stream_infer.errors import Stage
from stream_infer.records import Failure, Output
from stream_infer.worker.held import Ended, Prefix, Skipped
from stream_infer.worker.retry import Retried


@dataclass(frozen=True, slots=True)
class Ends:
    """How the items of one transaction ended: `rejected` by stage and exception, `retried` by tier."""

    succeeded: int = 0
    skipped: int = 0
    rejected: Counter[tuple[Stage, str]] = field(default_factory=Counter)
    retried: Counter[int] = field(default_factory=Counter)


def ends_of(ordinary: int, others: Iterable[Ended]) -> Ends:
    """`ordinary`: so many results that are like each other, which are not looked at one by one."""
    succeeded, skipped = ordinary, 0
    rejected: Counter[tuple[Stage, str]] = Counter()
    retried: Counter[int] = Counter()
    for ended in others:
        match ended:
            case Output():
                succeeded += 1
            case Failure():
                rejected[ended.stage, ended.exception] += 1
            case Retried():
                retried[ended.tier] += 1
            case Skipped():
                skipped += 1
    return Ends(succeeded, skipped, rejected, retried)


class WorkerObserver(Protocol):
    def committed(self, ends: Ends, seconds: float, prefixes: Sequence[Prefix]) -> None:
        """A transaction with these, that began so many `seconds` ago."""
        ...

    def aborted(self) -> None:
        """What was in it is delivered by another one."""
        ...

    def fenced(self) -> None:
        """Nobody knows whether it counts; its items are read again."""
        ...

    def first_result(self, seconds: float) -> None:
        """It is committed, so many seconds after the process's start."""
        ...


class Unobserved:
    """Nobody is told."""

    def committed(self, ends: Ends, seconds: float, prefixes: Sequence[Prefix]) -> None: ...

    def aborted(self) -> None: ...

    def fenced(self) -> None: ...

    def first_result(self, seconds: float) -> None: ...


UNOBSERVED: Final = Unobserved()
