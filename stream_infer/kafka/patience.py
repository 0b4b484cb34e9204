"""Questions that a broker cannot answer for a moment are asked again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

T = TypeVar("T")

_AGAIN_AFTER_S = 0.05
# Measured: a topic made a moment ago has no leader yet, and the first group of a fresh broker no coordinator, while
# the broker makes `__consumer_offsets`. Both also happen while partitions move between brokers.
_PASSING = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError._NOENT,  # librdkafka's word for a partition whose leader it does not know
    }
)


def ask_patiently(ask: Callable[[], T], timeout_s: float, before_again: Callable[[], object] = lambda: None) -> T:
    """What `ask` returns; it is called again while leaders and coordinators are being found, for `timeout_s`.

    `before_again` may bring the client's knowledge up to date. Raises KafkaException.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _PASSING or time.monotonic() > deadline:
                raise
        time.sleep(_AGAIN_AFTER_S)
        before_again()
