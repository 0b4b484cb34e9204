"""The minute's version for CI: the worker beside the hand-written transactional loop, and a bound."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.contest import Announce
from benchmarks.contestants import HANDWRITTEN_TX
from benchmarks.null_model import NullResult, measure

LEAST = 0.8
# Fewer than librdkafka's queue takes may pass the hand-written loop without one of its waits (measured with 150,000: it
# did 120,000 a second in one round and 490,000 in the next); of so many every loop with its defaults waits.
ITEMS = 400_000
ROUNDS = 3
_SIZE = 100


def run(bench: Bench, items: int, rounds: int, announce: Announce) -> NullResult:
    return measure(bench, [_SIZE], items, rounds, announce, only=[HANDWRITTEN_TX])


def verdict(result: NullResult) -> str | None:
    """What is wrong, or None."""
    found = result.ratio(HANDWRITTEN_TX, _SIZE)
    if found is None:
        return "the guard has measured nothing"
    if found < LEAST:
        return f"the worker does {found:.2f} of the hand-written transactional loop, at least {LEAST} is asked for"
    return None
