"""Which results settings hold for an item: those of its job, or of the API where nobody submitted the job it names."""

from __future__ import annotations

from stream_infer.records import REFERENCE, Item, Payload
from stream_infer.results import ResultFormat, Results
from stream_infer.shaping.documents import is_json, is_text
from stream_infer.shaping.shaping import Shaping, shaping_of
from stream_infer.worker.known_jobs import KnownJobs

_MOST = 1000


class Shapings:
    """Each compiled once. Used on the loop's thread; what it answers is for the shape stage's."""

    def __init__(self, jobs: KnownJobs, api: Results) -> None:
        self._jobs = jobs
        self._api = api
        self._of_jobs: dict[str | None, Shaping | None] = {}

    def of(self, job_id: str | None) -> Shaping | None:
        """None: what is sent is predicted, and what comes out is the result."""
        try:
            return self._of_jobs[job_id]
        except KeyError:
            return self._compile(job_id)

    def format_of(self, job_id: str | None) -> str | None:
        """How results are to lie in the store, where that is not as JSON lines."""
        said = self._results(job_id)
        return None if said is None or said.format == ResultFormat.JSONL else said.format

    def _compile(self, job_id: str | None) -> Shaping | None:
        if job_id is not None and self._jobs.job(job_id) is None:
            return self.of(None)
        if len(self._of_jobs) >= _MOST:
            self._of_jobs.clear()
        shaping = self._of_jobs[job_id] = shaping_of(self._results(job_id))
        return shaping

    def _results(self, job_id: str | None) -> Results | None:
        job = None if job_id is None else self._jobs.job(job_id)
        return self._api if job is None else job.results


def joined_instead_of(item: Item, fetched: Payload) -> Payload | None:
    """What an output is joined with where the item is a reference: what it leads to if that is JSON or text.

    None: the item's own payload, which of a reference to a picture is the reference.
    """
    is_readable = is_json(fetched.content_type) or is_text(fetched.content_type)
    return fetched if item.content_type == REFERENCE and is_readable else None
