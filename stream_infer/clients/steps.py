"""What takes more than one request, written once: a generator that says what it wants next, and is told what came.

    def submitting(…) -> Steps[JobBody]:
        upload = yield from ask(calls.upload(…))
        return (yield from ask(calls.submit(…)))

A gateway, with or without asyncio, carries the steps out; a test does so by hand. An error of ours is raised where the
step was yielded.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from stream_infer.clients.call import Call, Request
from stream_infer.clients.errors import GatewayUnavailable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request, once. What comes of it is the opened answer, its status looked at and its body not read."""

    request: Request


@dataclass(frozen=True, slots=True)
class Pour:
    """A stream of lines, each of which `take` is given as it comes."""

    request: Request
    take: Callable[[bytes], None]


# A call is asked as often as the gateway's retries allow.
Step: TypeAlias = Call[Any] | Pour | Attempt | Pause
Steps: TypeAlias = Generator[Step, Any, T]


def ask(call: Call[T]) -> Steps[T]:
    """The typed way to yield a call."""
    answer: T = yield call
    return answer


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request that may be repeated is sent (`tries`, the first one counted), and how long between.

    The pauses double from `first_s` to `longest_s`, less up to half of each at random, so that many clients do not come
    back at once; a Retry-After counts as it is, up to `longest_s`, beyond which it is not waited for.
    """

    tries: int = 4
    first_s: float = 0.25
    longest_s: float = 20.0

    def pause_s(self, attempt: int, error: GatewayUnavailable, chance: float) -> float | None:
        """Behind the failed `attempt`, from 1; None: there is no other. `chance` is in [0, 1)."""
        if attempt >= self.tries:
            return None
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= self.longest_s else None
        return min(self.longest_s, self.first_s * 2.0 ** (attempt - 1)) * (1.0 - chance / 2.0)


def attempts(
    request: Request, retries: Retries, chance: Callable[[], float] = random.random
) -> Generator[Attempt | Pause, Any, Any]:
    """The opened answer, at the first attempt that has one. Raises what the last attempt did."""
    attempt = 1
    while True:
        try:
            return (yield Attempt(request))
        except GatewayUnavailable as error:
            pause_s = retries.pause_s(attempt, error, chance()) if request.may_be_repeated else None
            if pause_s is None:
                raise
        yield Pause(pause_s)
        attempt += 1
