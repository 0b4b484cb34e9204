"""Items whose job the worker does not know: they wait for what its views of jobs have not read yet."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

import structlog

from stream_infer.worker.held import Entry
from stream_infer.worker.known_jobs import KnownJobs
from stream_infer.worker.ledger import Ledger

_LOG = structlog.get_logger(__name__)


class UnknownJobs:
    """Their entries of the ledger. What is taken is judged as the views are then: without a job it has none."""

    def __init__(self, jobs: KnownJobs, ledger: Ledger) -> None:
        self._jobs = jobs
        self._ledger = ledger
        self._waiting: list[tuple[Future[None], list[Entry]]] = []

    def add(self, entries: Sequence[Entry]) -> None:
        if entries:
            self._waiting.append((self._jobs.catch_up(), list(entries)))

    def take(self) -> list[Entry]:
        """Those for whom the views have read far enough. Where these cannot, they are asked again."""
        taken: list[Entry] = []
        still: list[tuple[Future[None], list[Entry]]] = []
        for current, entries in self._waiting:
            held = [entry for entry in entries if self._ledger.get(entry.token) is not None]
            if not current.done():
                still.append((current, held))
            elif current.exception() is not None:
                _LOG.warning("jobs_unknown", items=len(held), reason=str(current.exception()))
                still.append((self._jobs.catch_up(), held))
            else:
                taken += held
        self._waiting = still
        return taken
