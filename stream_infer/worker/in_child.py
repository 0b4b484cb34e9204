"""Whose items are in the predictor now: for the journal of crashes, and for what the predictor prints meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stream_infer.engine.journal import Journal
from stream_infer.worker.ledger import Ledger


class InChild:
    """A Journal that passes on to another, and tells `now_in_child` the jobs of the calls that have begun."""

    def __init__(self, journal: Journal, ledger: Ledger, now_in_child: Callable[[frozenset[str]], None]) -> None:
        self._journal = journal
        self._ledger = ledger
        self._now_in_child = now_in_child
        self._jobs: dict[int, frozenset[str]] = {}

    def begun(self, call_id: int, tokens: Sequence[int], *, alone: bool) -> None:
        self._journal.begun(call_id, tokens, alone=alone)
        self._jobs[call_id] = self._ledger.jobs_of(tokens)
        self._now_in_child(frozenset().union(*self._jobs.values()))

    def ended(self, call_id: int) -> None:
        self._journal.ended(call_id)
        self._jobs.pop(call_id, None)
        self._now_in_child(frozenset().union(*self._jobs.values()))
