"""The minute's version for CI: the worker beside hand-written transactional loops, without and with a job's items."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.bench import Bench
from benchmarks.contest import Announce, Conditions, in_turns
from benchmarks.contestants import (
    BY_HAND_JOB_TX,
    BY_HAND_TX,
    HANDWRITTEN_JOB_TX,
    HANDWRITTEN_TX,
    JOB_WORKER,
    OURS,
    OURS_OF_JOB,
    WORKER,
)
from benchmarks.load import JsonLoad
from benchmarks.null_model import NullResult

# Fewer than librdkafka's queue takes may pass the hand-written loop without one of its waits (measured with 150,000: it
# did 120,000 a second in one round and 490,000 in the next); of so many every loop with its defaults waits.
ITEMS = 400_000
ROUNDS = 3
_SIZE = 100
# Of whom, beside whom, at least. With a job's items 0.9 to 1.35 were measured, by how busy the machine was.
_ASKED = ((WORKER, HANDWRITTEN_TX, 0.8), (JOB_WORKER, HANDWRITTEN_JOB_TX, 0.6))


def run(bench: Bench, items: int, rounds: int, announce: Announce) -> NullResult:
    """Raises Unfinished where the worker does not finish, or says something twice."""
    load = JsonLoad(items, _SIZE)
    conditions = Conditions(lambda contestant: replace(load, of_job=contestant.of_job))
    everybody = (OURS, BY_HAND_TX, OURS_OF_JOB, BY_HAND_JOB_TX)
    return NullResult({_SIZE: in_turns(bench, everybody, conditions, rounds, announce)})


def verdict(result: NullResult) -> str | None:
    """What is wrong, or None."""
    for ours, theirs, least in _ASKED:
        found = result.ratio(theirs, _SIZE, ours)
        if found is None:
            return "the guard has measured nothing"
        if found < least:
            return f"the {ours} does {found:.2f} of {theirs}: at least {least} is asked for"
    return None
