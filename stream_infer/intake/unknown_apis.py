"""Jobs of an API that nobody has defined here: it was deleted as they came, or is one of a newer file than ours.

They wait and say so. They are not ended: whoever deploys the API again has them go on, and that nobody will do that is
not to be seen from here. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from stream_infer.jobs.events import Hindered
from stream_infer.jobs.status import HinderedRole, JobStatus


def hindrances(statuses: Iterable[JobStatus], apis: Collection[str], at: float) -> list[Hindered]:
    """What is to be said of those among `statuses` whose API is not among `apis`, and do not show it yet. `at` in
    seconds since the epoch.

    By the role that has to go on with it: so the first thing that it gets done takes the hindrance back.
    """
    said = []
    for status in statuses:
        if status.api in apis or not status.has_work:
            continue
        role = HinderedRole.WORKER if status.exhausted else HinderedRole.INTAKE
        reason = _reason(status.api)
        if status.hindrances.get(role) != reason:
            told = Hindered(job_id=status.job_id, at=at, generation=status.generation, role=role, reason=reason)
            said.append(told)
    return said


def _reason(api: str) -> str:
    why = f"there is no API {api!r}: it was deleted, or is only in a stream-infer.yaml that the intake does not have"
    return f"{why}; deploy it again and the job goes on, or stop the job"
