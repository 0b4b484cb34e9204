"""A gateway that knows many jobs: the seconds until it is ready, and how long it takes to list them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import urllib3
from urllib3.exceptions import HTTPError

from benchmarks.bench import API, Bench, Lane
from benchmarks.contest import Announce
from benchmarks.latency import Delays, percentiles
from benchmarks.observer import Unfinished
from benchmarks.processes import Started, resident_bytes, started
from benchmarks.report import median_and_spread, table
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.sources import JsonlFile
from stream_infer.jobs.spec import Job, encode_job
from stream_infer.jobs.status import JobStatus, State, encode_status
from stream_infer.kafka.publisher import Publisher
from stream_infer.local.free_ports import find_free
from stream_infer.records import OutgoingRecord
from stream_infer.topics import Topics

JOBS = 10_000
_CALLS = 200
_WARM_UP_CALLS = 20
_READY_S = 60.0
_LOOK_EVERY_S = 0.02
_CALL_S = 10.0
_MIB = 1 << 20
_STATES = (State.SUCCEEDED, State.SUCCEEDED, State.RUNNING, State.COMPLETED_WITH_FAILURES, State.STOPPED)


@dataclass(frozen=True, slots=True)
class GatewayResult:
    """`starts` in seconds from the process's start to /readyz; `calls` by what was asked for."""

    jobs: int
    starts: list[float]
    resident: int
    calls: dict[str, Delays]

    def text(self) -> str:
        rows = [
            [f"GET /v1/jobs, {name}", f"{one.p50:.1f}", f"{one.p99:.1f}", f"{one.worst:.1f}"]
            for name, one in self.calls.items()
        ]
        known = f"{self.jobs:,} known jobs"
        start = [[known, median_and_spread(self.starts, 2), f"{self.resident / _MIB:.0f}"]]
        return "\n\n".join(
            [
                table(["gateway", "s to ready", "resident MiB"], start),
                table([known, "p50 ms", "p99 ms", "worst ms"], rows),
            ]
        )


def measure(bench: Bench, jobs: int, rounds: int, announce: Announce) -> GatewayResult:
    announce(f"a gateway with {jobs:,} known jobs")
    [port] = find_free(1)
    url = f"http://127.0.0.1:{port}"
    starts = []
    with bench.lane(all_topics=True, changes={"gateway": {"listen": f"127.0.0.1:{port}"}}) as lane:
        _publish(lane, jobs)
        for number in range(rounds):
            with _ready(lane, url) as (gateway, seconds):
                starts.append(seconds)
                announce(f"  round {number + 1}: ready after {seconds:.2f} s")
                if number == rounds - 1:
                    calls = {name: _time(url, query) for name, query in _queries(jobs).items()}
                    resident = resident_bytes(gateway.pid)
    return GatewayResult(jobs, starts, resident, calls)


def _queries(jobs: int) -> Mapping[str, str]:
    """The newest job has the highest number and comes first."""
    return {
        "first page": "",
        "first 100": "limit=100",
        "a page far down": f"after={_job_id(jobs // 10)}",
        "one state": "state=running",
        "one API": f"api={API}",
        "a state that none has": "state=failed",
    }


@contextmanager
def _ready(lane: Lane, url: str) -> Iterator[tuple[Started, float]]:
    """A gateway, and its seconds from its process's start until it says that it is ready."""
    began = time.monotonic()
    with started(lane.role("gateway"), lane.folder / "gateway.log") as gateway:
        pool = urllib3.PoolManager(retries=False)
        while not _answers(pool, f"{url}/readyz"):
            if not gateway.is_running() or time.monotonic() > began + _READY_S:
                raise Unfinished(f"the gateway is not ready:\n{gateway.last_words()}")
            time.sleep(_LOOK_EVERY_S)
        yield gateway, time.monotonic() - began


def _answers(pool: urllib3.PoolManager, url: str) -> bool:
    try:
        return pool.request("GET", url, timeout=_CALL_S).status == 200
    except HTTPError:
        return False


def _time(url: str, query: str) -> Delays:
    """One client, call after call, on one connection."""
    pool = urllib3.PoolManager(retries=False)
    seconds = []
    for number in range(_WARM_UP_CALLS + _CALLS):
        began = time.perf_counter()
        answer = pool.request("GET", f"{url}/v1/jobs?{query}", timeout=_CALL_S)
        took = time.perf_counter() - began
        if answer.status != 200:
            raise Unfinished(f"GET /v1/jobs?{query}: {answer.status} {answer.data[:200]!r}")
        if number >= _WARM_UP_CALLS:
            seconds.append(took)
    return percentiles(seconds)


def _publish(lane: Lane, jobs: int) -> None:
    """What gateway and tracker have written of `jobs` that were submitted one a second, most of them over."""
    topics = Topics(lane.settings.kafka.topic_prefix)
    first = time.time() - jobs
    publisher = Publisher(lane.settings.kafka, "bench")
    publisher.publish([OutgoingRecord(topics.jobs, *_job(number, first + number)) for number in range(jobs)])
    publisher.publish([OutgoingRecord(topics.status, *_status(number, first + number)) for number in range(jobs)])
    publisher.close()


def _job_id(number: int) -> str:
    return f"job-{number:06}"


def _job(number: int, at: float) -> tuple[bytes, bytes]:
    job = Job(job_id=_job_id(number), api=API, submitted_at=at, jsonl=JsonlFile(uri=f"s3://bucket/{number}.jsonl"))
    return job.job_id.encode(), encode_job(job)


def _status(number: int, at: float) -> tuple[bytes, bytes]:
    state = _STATES[number % len(_STATES)]
    status = JobStatus(
        job_id=_job_id(number),
        api=API,
        state=state,
        counts=Counts(enqueued=1000, succeeded=990, rejected=10, written=1000, sunk=1000),
        exhausted=True,
        submitted_at=at,
        times={State.VALIDATING: at, State.ENQUEUING: at + 1, State.RUNNING: at + 2, state: at + 60},
        rate=20.0,
        rate_since=at + 50,
        rate_ended=900,
        offset=number,
    )
    return status.job_id.encode(), encode_status(status)
