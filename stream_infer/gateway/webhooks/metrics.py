"""The numbers of a courier: told once a transaction, read when somebody asks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol

from stream_infer.jobs.deliveries import Delivery
from stream_infer.telemetry.catalogue import webhooks
from stream_infer.telemetry.catalogue.metric import OfApi, Reading
from stream_infer.webhooks import DeliveryState

_OUTCOMES = {
    DeliveryState.PENDING: "failed",
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.GONE: "gone",
    DeliveryState.GIVEN_UP: "given_up",
    DeliveryState.WITHDRAWN: "withdrawn",
}


class CourierObserver(Protocol):
    def noted(self, changes: Iterable[Delivery | None]) -> None:
        """One transaction with these: events that are new or were tried; None: one that is forgotten."""
        ...


class CourierMetrics:
    """A CourierObserver; `readings` is a source of an Exposure. `apis`: the names of those that there are by now, which
    are at 0 before anything comes of them: what is born with a value has not risen by it."""

    def __init__(self, apis: Callable[[], Iterable[str]]) -> None:
        self._apis = apis
        self._attempts: Counter[webhooks.Attempt] = Counter()

    def noted(self, changes: Iterable[Delivery | None]) -> None:
        for change in changes:
            if change is not None and not (change.is_pending and change.attempts == 0):
                self._attempts[webhooks.Attempt(change.api, _OUTCOMES[change.state])] += 1

    def readings(self) -> Iterator[Reading]:
        for attempt in [webhooks.Attempt(api, said) for api in self._apis() for said in _OUTCOMES.values()]:
            self._attempts.setdefault(attempt, 0)
        yield webhooks.WEBHOOK_ATTEMPTS.reading(dict(self._attempts))


def waiting_readings(
    waiting: Sequence[Delivery], apis: Iterable[str], clock: Callable[[], float] = time.time
) -> Iterator[Reading]:
    """Of deliveries that are pending at this moment."""
    now = clock()
    numbers = Counter({OfApi(api): 0 for api in apis})
    ages = dict.fromkeys(numbers, 0.0)
    for delivery in waiting:
        of = OfApi(delivery.api)
        numbers[of] += 1
        ages[of] = max(ages.get(of, 0.0), now - delivery.at)
    yield webhooks.WEBHOOKS_WAITING.reading(numbers)
    yield webhooks.WEBHOOK_OLDEST_AGE.reading(ages)


class Unobserved:
    """Nobody is told."""

    def noted(self, changes: Iterable[Delivery | None]) -> None: ...


UNOBSERVED: Final = Unobserved()
