"""`/metrics`, `/healthz` and `/readyz` beside a role's work, over a real socket; checked by Prometheus's own tool."""

import contextlib
import json
import select
import socket
import threading
import time

import pytest
import structlog
import urllib3

from stream_infer.cli.role_process import exposed_beside
from stream_infer.local.free_ports import find_free
from stream_infer.settings import Settings
from stream_infer.telemetry import server
from stream_infer.telemetry.catalogue.every import every_metric
from stream_infer.telemetry.catalogue.metric import Histogram
from stream_infer.telemetry.exposure import Exposure
from stream_infer.telemetry.server import served
from tests.support.metrics import samples_of
from tests.support.promtool import complaints_about

POOL = urllib3.PoolManager(retries=False, timeout=10)


def ask(url, path, method="GET"):
    return POOL.request(method, url + path)


def wait_until(condition):
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def listen():
    [port] = find_free(1)
    return f"127.0.0.1:{port}"


def test_the_three_paths_answer_and_nothing_else_is_there(listen):
    exposure = Exposure()
    with served(listen, exposure) as listener:
        assert listener.url == f"http://{listen}"
        unready, missing = ask(listener.url, "/readyz"), ask(listener.url, "/healthy")
        exposure.missing = lambda: ()
        ready, health, metrics = (ask(listener.url, path) for path in ("/readyz", "/healthz", "/metrics"))
        head = ask(listener.url, "/metrics", "HEAD")

        assert (unready.status, missing.status, ready.status, health.status) == (503, 404, 200, 200)
        assert json.loads(unready.data)["reasons"] == ["It is starting."]
        assert unready.headers["content-type"] == missing.headers["content-type"] == "application/problem+json"
        assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert ("process_cpu_seconds_total", frozenset()) in samples_of(metrics.data)
        assert (head.status, head.data) == (200, b"")
        assert ask(listener.url, "/metrics", "POST").status == 501


def test_where_nothing_is_set_and_the_usual_port_is_taken_any_free_one_does(monkeypatch, listen):
    monkeypatch.setattr(server, "DEFAULT_LISTEN", listen)
    with served(None, Exposure()) as first, served(None, Exposure()) as second:
        assert first.url == f"http://{listen}"
        assert second.url not in (None, first.url)
        assert ask(second.url, "/healthz").status == 200


def test_a_port_that_is_wanted_and_taken_is_waited_for_while_the_work_goes_on(monkeypatch, listen):
    monkeypatch.setattr(server, "_AGAIN_S", 0.05)
    tries, bound = [], server._Listener._bound
    monkeypatch.setattr(server._Listener, "_bound", lambda self, at: (tries.append(at), bound(self, at))[1])
    host, _, port = listen.rpartition(":")
    with socket.socket() as other:
        other.bind((host, int(port)))
        other.listen()
        with structlog.testing.capture_logs() as said, served(listen, Exposure()) as listener:
            assert listener.url is None
            wait_until(lambda: len(tries) >= 3)
            other.close()
            wait_until(lambda: listener.url is not None)
            assert ask(f"http://{listen}", "/healthz").status == 200

    assert [one["event"] for one in said if one["log_level"] != "debug"] == ["metrics_not_served", "metrics_served"]
    assert listen in said[0]["reason"]


def test_an_asker_that_says_nothing_holds_up_nobody(listen):
    with served(listen, Exposure()) as listener:
        host, _, port = listen.rpartition(":")
        with socket.create_connection((host, int(port))):
            assert ask(listener.url, "/healthz").status == 200


def test_an_asker_that_sends_a_byte_now_and_then_is_hung_up_on(monkeypatch, listen):
    monkeypatch.setattr(server, "_SLOWEST_S", 0.5)
    with served(listen, Exposure()):
        host, _, port = listen.rpartition(":")
        began = time.monotonic()
        with socket.create_connection((host, int(port)), timeout=20) as slow:
            slow.sendall(b"GET /met")
            with contextlib.suppress(ConnectionError):
                while not select.select([slow], [], [], 0.1)[0]:
                    slow.sendall(b"r")
                assert slow.recv(100) == b""
            assert 0.4 < time.monotonic() - began < 20


def test_of_too_many_askers_the_first_goes_and_the_last_is_answered(monkeypatch, listen):
    monkeypatch.setattr(server, "_MOST_ASKERS", 3)
    before = threading.active_count()
    with served(listen, Exposure()) as listener, contextlib.ExitStack() as held:
        host, _, port = listen.rpartition(":")
        silent = [held.enter_context(socket.create_connection((host, int(port)), timeout=20)) for _ in range(8)]
        assert ask(listener.url, "/healthz").status == 200
        with contextlib.suppress(ConnectionError):
            assert silent[0].recv(100) == b""
        wait_until(lambda: threading.active_count() <= before + 1 + 3)


def test_the_port_is_free_again_once_the_role_has_ended(listen):
    for _ in range(3):
        with served(listen, Exposure()) as listener:
            assert ask(listener.url, "/healthz").status == 200


def test_a_role_that_answers_elsewhere_is_asked_here_where_that_is_set(listen):
    def serving():
        return [thread.name for thread in threading.enumerate() if thread.name == "metrics"]

    with exposed_beside(Settings()):
        assert serving() == []
    with exposed_beside(Settings.model_validate({"metrics": {"listen": listen}})):
        assert serving() == ["metrics"]
        assert ask(f"http://{listen}", "/metrics").status == 200


def test_promtool_finds_nothing_to_say_of_any_metric_of_the_catalogue():
    def all_of_them():
        for metric in every_metric():
            labels = metric.labels(*["x" for _ in metric.label_names])
            yield metric.reading({labels: metric.distribution() if isinstance(metric, Histogram) else 1.0})

    exposure = Exposure()
    exposure.show(all_of_them)
    [port] = find_free(1)
    with served(f"127.0.0.1:{port}", exposure) as listener:
        assert complaints_about(ask(listener.url, "/metrics").data) == ""
