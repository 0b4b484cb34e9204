"""How many work on an API, how many are to, and how `get` shows it."""

import pytest
from rich.console import Console

from stream_infer.cli.api_tables import api_table, latency, replica_table
from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.api_bodies import ApiStatus
from stream_infer.gateway.apis import api_body
from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.replicas import Replicas
from stream_infer.gateway.workforce import Workers, workforce
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.spec import Job
from stream_infer.jobs.status import HinderedRole, JobStatus, State
from stream_infer.predictor_settings import NativePredictor
from stream_infer.settings import ApiSettings, WorkerSettings
from stream_infer.topics import Topics

API = ApiSettings(name="iris", predictor=NativePredictor(target="m:M"), workers=WorkerSettings(min=0, max=4))
CURRENT = f"p.iris.worker.h.0@{API.version}"
OLD = "p.iris.worker.h.1@0123456789ab"


def known(state=State.RUNNING, workers=None, **status):
    job = Job(job_id="j", api="iris", submitted_at=1.0, workers=workers)
    return KnownJob(job, JobStatus(job_id="j", api="iris", state=state, **status))


def replicas(*ready):
    all_of_them = Replicas([f"http://h:{number}" for number in range(len(ready))], 8)
    for replica, is_ready in zip(all_of_them.all, ready, strict=True):
        replica.note(None if is_ready else "loading")
    return all_of_them


@pytest.mark.parametrize(
    ("client_ids", "of_realtime", "jobs", "requested", "available", "up_to_date", "status"),
    [
        ([], None, [], 0, 0, 0, ApiStatus.IDLE),
        ([], None, [known(State.SUCCEEDED)], 0, 0, 0, ApiStatus.IDLE),
        ([], None, [known()], 1, 0, 0, ApiStatus.STARTING),
        ([CURRENT], None, [known(workers=2)], 2, 1, 1, ApiStatus.STARTING),
        ([CURRENT, OLD], None, [known(workers=2)], 2, 2, 1, ApiStatus.LIVE),
        ([CURRENT], None, [known(workers=1), known(workers=2), known()], 3, 1, 1, ApiStatus.STARTING),
        ([CURRENT] * 4, None, [known(workers=9)], 4, 4, 4, ApiStatus.LIVE),
        ([CURRENT], None, [known(hindrances={HinderedRole.WORKER: "no model"})], 1, 1, 1, ApiStatus.HINDERED),
        ([], (True, False), [], 2, 1, 1, ApiStatus.STARTING),
        ([CURRENT], (True, True), [known()], 3, 3, 3, ApiStatus.LIVE),
        (None, None, [known()], 1, None, None, ApiStatus.UNKNOWN),
    ],
)
def test_an_api_is_what_its_workers_and_replicas_are(
    client_ids, of_realtime, jobs, requested, available, up_to_date, status
):
    force = workforce(API, client_ids, None if of_realtime is None else replicas(*of_realtime), jobs)

    assert (force.requested, force.available, force.up_to_date, force.status) == (
        requested,
        available,
        up_to_date,
        status,
    )


def test_the_latency_is_that_of_requests_or_else_of_the_newest_jobs_items():
    ended = known(State.SUCCEEDED, counts=Counts(succeeded=3, rejected=1), times={"running": 10.0, "finalizing": 12.0})
    asked = replicas(True)
    assert workforce(API, [], asked, [ended]).avg_latency == 0.5
    asked.took(0.1)
    asked.took(0.3)

    assert workforce(API, [], asked, [ended]).avg_latency == pytest.approx(0.2)
    assert workforce(API, [], None, [known()]).avg_latency is None


class Members:
    def __init__(self):
        self.asked = 0
        self.error = None

    def client_ids(self, groups):
        self.asked += 1
        if self.error:
            raise self.error
        return {group: [CURRENT] for group in groups}


def test_kafka_is_asked_once_a_second_and_not_known_is_said_to_be():
    members, now = Members(), [0.0]
    workers = Workers(members, Topics("p"), clock=lambda: now[0])

    assert workers.client_ids([API]) == {"iris": [CURRENT]}
    assert workers.client_ids([API]) == {"iris": [CURRENT]}
    assert members.asked == 1
    now[0], members.error = 2.0, ServiceUnavailable("Kafka is away")
    assert workers.client_ids([API]) is None


@pytest.mark.parametrize(
    ("seconds", "shown"), [(12.3456, "12.3 s"), (0.0456, "45.6 ms"), (0.0000071, "7.1 us"), (1.0, "1 s")]
)
def test_a_latency_has_three_digits_and_a_unit(seconds, shown):
    assert latency(seconds) == shown


def test_get_shows_what_cortexs_shows():
    jobs = [known(workers=2)]
    force = workforce(API, [CURRENT, OLD], None, jobs)
    body = api_body(API, Topics("p").api("iris"), jobs, force, updated_at=1000.0)
    console = Console(width=200, record=True)

    with console.capture() as shown:
        console.print(api_table([body], now=1065.0))

    heads, row = shown.get().splitlines()
    assert heads.split("  ")[0] == "api"
    for name in ("status", "up-to-date", "available", "requested", "last update", "avg latency", "active jobs"):
        assert name in heads
    assert row.split() == ["iris", "live", "1", "2", "2", "1:05", "1", "0", "native", "m:M"]


def test_the_replicas_of_an_api_are_shown_each_with_why_it_is_not_ready():
    some = replicas(True, False)
    some.all[0].outstanding = 3
    force = workforce(API, [], some, [])
    body = api_body(API, Topics("p").api("iris"), [], force, updated_at=1000.0)

    assert [(one.url, one.is_ready, one.in_flight, one.reason) for one in body.replicas] == [
        ("http://h:0", True, 3, None),
        ("http://h:1", False, 0, "loading"),
    ]
    console = Console(width=100)
    with console.capture() as shown:
        console.print(replica_table(body.replicas))
    assert [line.split() for line in shown.get().splitlines()] == [
        ["replica", "ready", "in", "flight"],
        ["http://h:0", "yes", "3"],
        ["http://h:1", "no", "0", "loading"],
    ]
