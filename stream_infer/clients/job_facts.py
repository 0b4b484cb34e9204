"""What is known of a job without asking."""

from __future__ import annotations

from typing import Self

from stream_infer.clients.errors import JobIncomplete
from stream_infer.clients.progress import progress_line
from stream_infer.gateway.representations import JobBody, JobCounts
from stream_infer.jobs.status import State


class JobFacts:
    """`status` is how the job was when it was last looked at."""

    def __init__(self, status: JobBody) -> None:
        self.status = status

    @property
    def id(self) -> str:
        return self.status.job_id

    @property
    def api(self) -> str:
        return self.status.api_name

    @property
    def state(self) -> State:
        return self.status.state

    @property
    def counts(self) -> JobCounts:
        return self.status.counts

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self.status.is_final

    def require_success(self) -> Self:
        """Raises JobIncomplete unless it has ended, when last looked at, and every item succeeded."""
        if self.state is not State.SUCCEEDED:
            why = "".join(f"; {error}" for error in self.status.errors)
            raise JobIncomplete(f"job {self.id} of {self.api} is {progress_line(self.status)}{why}")
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} of {self.api}: {progress_line(self.status)}>"
