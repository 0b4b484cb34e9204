"""The minute's version for CI: the worker of job items beside the hand-written transactional loop, and a bound."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.bench import Bench
from benchmarks.contest import Announce, Conditions, in_turns
from benchmarks.contestants import BY_HAND_TX, HANDWRITTEN_TX, JOB_WORKER, OURS_OF_JOB
from benchmarks.load import JsonLoad
from benchmarks.null_model import NullResult

LEAST = 0.8
# Fewer than librdkafka's queue takes may pass the hand-written loop without one of its waits (measured with 150,000: it
# did 120,000 a second in one round and 490,000 in the next); of so many every loop with its defaults waits.
ITEMS = 400_000
ROUNDS = 3
_SIZE = 100


def run(bench: Bench, items: int, rounds: int, announce: Announce) -> NullResult:
    """Raises Unfinished where the worker does not finish, or says something twice."""
    load = JsonLoad(items, _SIZE)
    conditions = Conditions(lambda contestant: replace(load, of_job=contestant.of_job))
    return NullResult({_SIZE: in_turns(bench, (OURS_OF_JOB, BY_HAND_TX), conditions, rounds, announce)})


def verdict(result: NullResult) -> str | None:
    """What is wrong, or None."""
    found = result.ratio(HANDWRITTEN_TX, _SIZE, JOB_WORKER)
    if found is None:
        return "the guard has measured nothing"
    if found < LEAST:
        return f"the worker does {found:.2f} of the hand-written transactional loop, at least {LEAST} is asked for"
    return None
