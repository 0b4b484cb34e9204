"""Of jobs: the tracker's rows, and how far the intake has published their sources."""

from __future__ import annotations

from typing import Final, NamedTuple

from stream_infer.telemetry.catalogue.metric import WHILES, Counter, Gauge, Histogram, OfApi, Role, Whole

_TRACKER = (Role.TRACKER,)
_INTAKE = (Role.INTAKE,)


class JobState(NamedTuple):
    """A state of jobs/status.py."""

    api: str
    state: str


class Hindrance(NamedTuple):
    """`by`: `intake`, `worker` or `sink`."""

    api: str
    by: str


class IntakeState(NamedTuple):
    """`publishing`, or `put_off`: its source is away."""

    api: str
    state: str


JOBS: Final = Gauge(
    "stream_infer_jobs",
    JobState,
    _TRACKER,
    "Jobs that are remembered, by state. Sum over trackers: each has the jobs of its partitions.",
)
JOBS_HINDERED: Final = Gauge(
    "stream_infer_jobs_hindered",
    Hindrance,
    _TRACKER,
    "Jobs under way that something keeps from going on, by the role that waits. `stream-infer get JOB` says for what.",
)
JOB_ITEMS_WAITING: Final = Gauge(
    "stream_infer_job_items_waiting",
    OfApi,
    _TRACKER,
    "Items of jobs that are published and have not ended, all jobs together. Above 0 without a worker in the API's "
    "group: nobody works for a waiting job.",
)
JOB_WORKERS_WANTED: Final = Gauge(
    "stream_infer_job_workers_wanted",
    OfApi,
    _TRACKER,
    "Workers that jobs under way ask for with `workers`, together, and of each no more than it has items left. Sum "
    "over trackers. Beside the lag it is what an autoscaler goes by.",
)
JOB_DEADLINE_SECONDS: Final = Gauge(
    "stream_infer_job_deadline_seconds",
    OfApi,
    _TRACKER,
    "Seconds until the first of the jobs that a timeout can end is at its end; absent where there is none: a job that "
    "is stopping, or whose results are being assembled, goes on to its end. Below 0: it is being ended.",
)
JOB_TIME_USED_RATIO: Final = Gauge(
    "stream_infer_job_time_used_ratio",
    OfApi,
    _TRACKER,
    "Of these jobs the largest share of its timeout that is used up; absent where there is none.",
)
JOB_FIRST_RESULT_SECONDS: Final = Histogram(
    "stream_infer_job_first_result_seconds",
    OfApi,
    _TRACKER,
    "From a job's submission to the end of its first item: with workers at zero mostly their start.",
    WHILES,
)
JOB_SECONDS: Final = Histogram(
    "stream_infer_job_seconds",
    JobState,
    _TRACKER,
    "From a job's submission to its final state, by that state; its count is how many jobs have ended so. A job that "
    "is replayed ends once more.",
    WHILES,
)
EVENTS_FOLDED: Final = Counter(
    "stream_infer_tracker_events_total",
    Whole,
    _TRACKER,
    "Events of `progress` that the tracker has folded into rows. It does about 2,000 a second.",
)
TRACKER_PARTITIONS: Final = Gauge(
    "stream_infer_tracker_partitions",
    Whole,
    _TRACKER,
    "Partitions of `progress` that this tracker folds. The sum over all trackers is `jobs.partitions`, or some jobs "
    "stand still.",
)
INTAKE_ITEMS: Final = Counter(
    "stream_infer_intake_items_total", OfApi, _INTAKE, "Items of jobs that were published to the API's topic."
)
INTAKE_JOBS: Final = Gauge(
    "stream_infer_intake_jobs",
    IntakeState,
    _INTAKE,
    "Jobs whose sources are not all published: `publishing`, or `put_off` while their source or the store is away.",
)
INTAKE_POSITION: Final = Gauge(
    "stream_infer_intake_position_items",
    OfApi,
    _INTAKE,
    "How far the sources of these jobs have been published, all together. Standing still while a job is `publishing`: "
    "enough of it waits in the topic, or its source gives nothing.",
)
INTAKE_PARTITIONS: Final = Gauge(
    "stream_infer_intake_partitions",
    Whole,
    _INTAKE,
    "Partitions of `jobs` that this intake owns. The sum over all of them is `jobs.partitions`.",
)
