"""The numbers of a worker: told once a transaction, read when somebody asks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from stream_infer.telemetry.catalogue import items
from stream_infer.telemetry.catalogue.metric import OfApi, Reading
from stream_infer.telemetry.exceptions import as_label
from stream_infer.worker.breaker import Breaker
from stream_infer.worker.circuit import Circuit, State
from stream_infer.worker.fetch import FetchStage
from stream_infer.worker.held import Prefix
from stream_infer.worker.ledger import Ledger
from stream_infer.worker.observer import Ends
from stream_infer.worker.pace import PacePolicy
from stream_infer.worker.shape import ShapeStage

_OUTCOMES = ("succeeded", "rejected", "skipped")
_ENDS = ("committed", "aborted", "fenced")


class WorkerMetrics:
    """A WorkerObserver; `readings` is a source of an Exposure. `tiers`: so many retry topics the API has."""

    def __init__(self, api: str, tiers: int = 0) -> None:
        self._api = api
        self._of_api = OfApi(api)
        self._ended: Counter[items.Outcome] = Counter({items.Outcome(api, outcome): 0 for outcome in _OUTCOMES})
        self._rejected: Counter[items.Rejected] = Counter()
        self._retried = Counter({items.Tier(api, str(tier)): 0 for tier in range(1, tiers + 1)})
        self._transactions = Counter({items.TransactionEnd(api, end): 0 for end in _ENDS})
        self._seconds = items.TRANSACTION_SECONDS.distribution()
        self._first_result: float | None = None

    def committed(self, ends: Ends, seconds: float, prefixes: Sequence[Prefix]) -> None:  # noqa: ARG002 - others look at them
        api, ended = self._api, self._ended
        ended[items.Outcome(api, "succeeded")] += ends.succeeded
        ended[items.Outcome(api, "skipped")] += ends.skipped
        ended[items.Outcome(api, "rejected")] += ends.rejected.total()
        for (stage, exception), count in ends.rejected.items():
            self._rejected[items.Rejected(api, stage, as_label(exception))] += count
        for tier, count in ends.retried.items():
            self._retried[items.Tier(api, str(tier))] += count
        self._transactions[items.TransactionEnd(api, "committed")] += 1
        self._seconds.note(seconds)

    def aborted(self) -> None:
        self._transactions[items.TransactionEnd(self._api, "aborted")] += 1

    def fenced(self) -> None:
        self._transactions[items.TransactionEnd(self._api, "fenced")] += 1

    def first_result(self, seconds: float) -> None:
        self._first_result = seconds

    def readings(self) -> Iterator[Reading]:
        yield items.ITEMS_ENDED.reading(dict(self._ended))
        yield items.ITEMS_REJECTED.reading(dict(self._rejected))
        yield items.ITEMS_RETRIED.reading(dict(self._retried))
        yield items.TRANSACTIONS.reading(dict(self._transactions))
        yield items.TRANSACTION_SECONDS.reading({self._of_api: self._seconds})
        if self._first_result is not None:
            yield items.FIRST_RESULT_SECONDS.reading({self._of_api: self._first_result})


class HeldItems:
    """What a worker holds, as it is now: a source of an Exposure. The worker's thread goes on meanwhile."""

    def __init__(
        self,
        api: str,
        ledger: Ledger,
        policy: PacePolicy,
        items_topic: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._of_api = OfApi(api)
        self._ledger = ledger
        self._policy = policy
        self._topic = items_topic
        self._clock = clock

    def __call__(self) -> Iterator[Reading]:
        of_api, ledger, policy = self._of_api, self._ledger, self._policy
        oldest_ms = ledger.oldest_ms(self._topic)
        age = 0.0 if oldest_ms is None else max(0.0, self._clock() - oldest_ms / 1000)
        owned = sum(topic == self._topic for topic, _ in ledger.partitions())
        yield items.HELD_ITEMS.reading({of_api: ledger.held})
        yield items.HELD_ITEMS_LIMIT.reading({of_api: policy.max_held})
        yield items.HELD_BYTES.reading({of_api: ledger.held_bytes})
        yield items.HELD_BYTES_LIMIT.reading({of_api: policy.max_held_bytes})
        yield items.WAITING_ITEMS.reading({of_api: ledger.parked})
        yield items.OLDEST_ITEM_AGE.reading({of_api: age})
        yield items.ASSIGNED_PARTITIONS.reading({of_api: owned})


class CircuitNumbers:
    """The breaker and the stages beside the model: a source of an Exposure."""

    def __init__(self, api: str, circuit: Circuit, breaker: Breaker, fetch: FetchStage, shape: ShapeStage) -> None:
        self._api = api
        self._circuit = circuit
        self._breaker = breaker
        self._stages: dict[str, FetchStage | ShapeStage] = {"fetch": fetch, "filter": shape}

    def __call__(self) -> Iterator[Reading]:
        api, state = self._api, self._circuit.state
        yield items.BREAKER_STATE.reading({items.BreakerState(api, one.value): one is state for one in State})
        yield items.BREAKER_FAILED_RATIO.reading({OfApi(api): self._breaker.failed_ratio})
        stages = {items.ItemStage(api, name): stage for name, stage in self._stages.items()}
        yield items.ITEM_STAGE_SECONDS.reading({name: stage.seconds for name, stage in stages.items()})
        yield items.ITEM_STAGE_ITEMS.reading({name: stage.items for name, stage in stages.items()})
