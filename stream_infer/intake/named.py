"""Which jobs `{p}.jobs` names, and so whose checkpoints may go. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stream_infer.jobs.checkpoints import Checkpoint


class NamedJobs:
    """Of one partition, as far as it was read."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._is_whole = False

    def see(self, job_id: str, *, is_there: bool) -> None:
        """A record of the job: its spec, even one that nobody can read, or a tombstone."""
        if is_there:
            self._ids.add(job_id)
        else:
            self._ids.discard(job_id)

    def end(self) -> None:
        """All that there was has been read."""
        self._is_whole = True

    def forgotten(
        self, checkpoints: Mapping[str, Checkpoint], has_status: Callable[[str], bool], submitted_before: float
    ) -> list[str]:
        """The jobs of those that are over: named neither here nor in `status`, and old.

        Each of the three alone may be an error: an intake that forgets a checkpoint publishes its job anew.
        """
        if not self._is_whole:
            return []
        absent = [one for job_id, one in checkpoints.items() if job_id not in self._ids and not has_status(job_id)]
        return [one.job_id for one in absent if _is_old(one, submitted_before)]


def _is_old(checkpoint: Checkpoint, submitted_before: float) -> bool:
    """An older version did not say when: then it is as old as its end."""
    at = checkpoint.submitted_at
    return checkpoint.exhausted if at is None else at < submitted_before
