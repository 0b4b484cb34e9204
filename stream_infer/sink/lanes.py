"""Threads for what a job leaves in the store, and others for each place that jobs may have objects assembled at."""

from __future__ import annotations

from collections.abc import Sequence

from stream_infer.jobs.assembling import allowed_place
from stream_infer.pool import DaemonPool


class Lanes:
    """A pool each, so that a place which does not answer (boto3's patience with one is minutes) holds up those who
    write there, and nobody else. Safe to share between threads.
    """

    def __init__(self, threads: int, name: str, places: Sequence[str]) -> None:
        """`threads` of each, at most; a pool has only as many as it has had to do at a time."""
        self._places = places
        self._store = DaemonPool(threads, name)
        self._elsewhere = {place: DaemonPool(threads, f"{name}-{at}") for at, place in enumerate(places)}

    def of(self, output: str | None) -> DaemonPool:
        """For what is written to `output`, a place that is or was allowed; None: to the store."""
        place = None if output is None else allowed_place(output, self._places)
        return self._store if place is None else self._elsewhere[place]

    def close(self) -> None:
        """Waits for nothing."""
        for pool in (self._store, *self._elsewhere.values()):
            pool.close(0.0)
