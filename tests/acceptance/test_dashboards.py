"""A real Prometheus looks at the processes of `up` under jobs: every panel has something to show."""

import math
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deploy.monitoring.alerts import ALERTS
from deploy.monitoring.dashboards import ALERTS_FIRING
from deploy.monitoring.files import ALERTS_FILE, DASHBOARDS
from deploy.monitoring.gpu import GPU
from stream_infer.clients import calls
from stream_infer.clients.gateway import Gateway
from stream_infer.local.free_ports import find_free
from tests.support.prometheus import Prometheus, prometheus_in
from tests.support.promql import metrics_in
from tests.support.settings import predictor
from tests.support.up_process import UpProcess, up_in, wait_for, write_config

WITHIN_S = 90.0
# This machine has no GPU, and none of its numbers.
EXCUSED = {panel.title for panel in GPU.panels}
# One of eleven items is refused, on purpose.
RIGHTLY = {"StreamInferDeadLettersRising"}
# What Grafana puts in place of its variables: one API that is chosen, or all.
CHOICES = {"one API": "echo", "all": ".*"}
JOB: dict[str, Any] = {
    "item_list": {"items": [*({"value": number} for number in range(40)), *([{"value": "refused"}] * 4)]},
    "results": {"input_filter": "$.value"},
}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpProcess]:
    folder = tmp_path_factory.mktemp("dashboards")
    [port] = find_free(1)
    api = {
        "name": "echo",
        "predictor": predictor("measured.py:Measured"),
        "partitions": 2,
        "realtime": {"listen": f"127.0.0.1:{port}"},
    }
    with up_in(folder, write_config(folder, apis=[api])) as process:
        process.wait_until_ready()
        yield process
        assert process.interrupt() == 0, process.text()


@pytest.fixture(scope="module")
def client(up: UpProcess) -> Iterator[Gateway]:
    with closing(Gateway(up.wait_until_ready()["gateway"])) as asked:
        yield asked


@pytest.fixture(scope="module")
def prometheus(up: UpProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    targets = Path(up.wait_until_ready()["targets"])
    with prometheus_in(tmp_path_factory.mktemp("prometheus"), targets, ALERTS_FILE) as started:
        yield started


@pytest.fixture(scope="module")
def work(up: UpProcess, client: Gateway, prometheus: Prometheus) -> Callable[[], None]:
    """One job more, of which some items fail, and a prediction. Another job's items wait for their next attempt."""
    wait_for(lambda: set(prometheus.targets().values()) == {"up"}, 30.0, prometheus.text)
    late = {"item_list": {"items": ["later", "later"]}, "timeout": 3600}
    client.ask(calls.submit("echo", late, uuid.uuid4().hex))

    def some_more() -> None:
        job = client.ask(calls.submit("echo", JOB, uuid.uuid4().hex))
        client.ask(calls.predict("echo", b"1", "application/json", 20.0))
        wait_for(lambda: client.ask(calls.job(job.job_id)).is_final, 90.0, up.text)

    return some_more


def asked(expr: str, api: str) -> str:
    return expr.replace("$__rate_interval", "1m").replace("$api", api)


def silent(prometheus: Prometheus) -> list[str]:
    """The expressions of panels, by title, that have no number to show; NaN is none."""
    found = []
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            for query in panel.queries:
                for choice, api in CHOICES.items():
                    samples = prometheus.query(asked(query.expr, api))
                    numbers = [float(sample["value"][1]) for sample in samples]
                    if panel.title not in EXCUSED and all(map(math.isnan, numbers)):
                        found.append(f"{dashboard.title}: {panel.title} ({query.legend}), {choice}: {query.expr}")
    return found


def test_every_panel_has_something_to_show_while_jobs_run(
    up: UpProcess, prometheus: Prometheus, work: Callable[[], None]
) -> None:
    deadline = time.monotonic() + WITHIN_S
    work()
    while (left := silent(prometheus)) and time.monotonic() < deadline:
        work()
        time.sleep(1.0)

    assert left == [], up.text()


def test_what_is_excused_says_nothing_here(prometheus: Prometheus) -> None:
    """Else it need not be excused."""
    exprs = [query.expr for panel in GPU.panels for query in panel.queries]

    assert len(exprs) == 5
    assert [expr for expr in exprs if prometheus.query(asked(expr, ".*"))] == []


@pytest.mark.usefixtures("work")
def test_the_apis_can_be_chosen(prometheus: Prometheus) -> None:
    assert prometheus.values_of("api", "stream_infer_jobs") == ["echo"]


@pytest.mark.usefixtures("work")
def test_the_alerts_are_loaded_and_none_has_begun_to_wait(prometheus: Prometheus) -> None:
    """Each waits a minute or more before it fires: "No tracker answers" over what no tracker shows waits for ever."""

    def complaints() -> list[str]:
        return [
            f"{name}: {health}, {state}"
            for name, (health, state) in prometheus.rules().items()
            if health != "ok" or (state != "inactive" and name not in RIGHTLY)
        ]

    wait_for(lambda: not complaints(), 30.0, lambda: f"{complaints()}\n{prometheus.text()}")
    assert set(prometheus.rules()) == {alert.name for alert in ALERTS}
    assert prometheus.query(ALERTS_FIRING) == []


@pytest.mark.usefixtures("work")
def test_somebody_shows_what_each_alert_goes_by(prometheus: Prometheus) -> None:
    """What nobody shows is never above its bound."""
    names = set().union(*(metrics_in(alert.expr) for alert in ALERTS), {'process_start_time_seconds{role="intake"}'})

    wait_for(lambda: all(map(prometheus.query, names)), 30.0, prometheus.text)
