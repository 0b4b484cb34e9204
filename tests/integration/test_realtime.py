"""A realtime replica with a real engine, and the gateway's end of two of them."""

import asyncio
import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3
from aiohttp import web

from stream_infer.errors import ConfigError, PredictorUnavailable
from stream_infer.gateway.predict import PredictResource
from stream_infer.gateway.predictions import Predictions
from stream_infer.http.problems import answer_with_problems
from stream_infer.kafka.definitions import FixedSettings
from stream_infer.local.free_ports import find_free
from stream_infer.settings import Settings
from tests.support.realtime import PREDICT, Client, realtime_settings, replica, replica_process


def problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    assert answer.status == status, answer.data
    assert answer.headers["content-type"] == "application/problem+json"
    document = dict(answer.json())
    assert document["type"] == f"urn:stream-infer:problem:{kind}"
    return document


def until(condition: Any, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_output_is_the_answer_whatever_it_is(tmp_path: Path) -> None:
    with replica(realtime_settings(tmp_path, "behaving.py:Assorted")) as client:
        answers = {wish: client.ask(json.dumps(wish).encode()) for wish in ("text", "bytes", "none", "nan", "set")}
        assert (answers["text"].status, answers["text"].data) == (200, b'"plain"')
        assert answers["bytes"].data == b"\x00\x01"
        assert answers["bytes"].headers["content-type"] == "application/octet-stream"
        assert (answers["none"].status, answers["none"].data) == (204, b"")
        assert "NaN" in problem(answers["nan"], 422, "item-rejected")["detail"]
        assert problem(answers["set"], 422, "item-rejected")["stage"] == "encode"
        assert "this one not" in problem(client.ask(b'"reject"'), 422, "item-rejected")["detail"]
        later = client.ask(b'"retry"')
        problem(later, 503, "item-may-succeed")
        assert later.headers["retry-after"] == "3"
        assert problem(client.ask(b'"unknown"'), 500, "item-failed")["exception"] == "KeyError"
        assert "line 1, column" in problem(client.ask(b"{"), 422, "item-rejected")["detail"]
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").json() == {"status": "ready"}
        problem(client.get("/nowhere"), 404, "unknown-path")
        problem(client.get(PREDICT), 405, "method-not-allowed")
        problem(client.ask(b"a=1", content_type="application/x-www-form-urlencoded"), 415, "unsupported-media-type")
        problem(client.ask(b"1", origin="https://elsewhere.example"), 403, "foreign-origin")
        assert client.ask(b'"text"', origin=client.url).status == 200
        problem(client.ask(b"1", si_timeout="soon"), 400, "malformed-request")


def test_bytes_come_back_as_they_went_in_however_many(tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000
    with replica(realtime_settings(tmp_path, "behaving.py:Echo")) as client:
        answer = client.ask(data, content_type="application/octet-stream")
        assert (answer.status, answer.data == data) == (200, True)
        problem(client.ask(bytes(33 << 20), content_type="application/octet-stream"), 413, "too-large")


def test_requests_that_come_together_share_a_micro_batch(tmp_path: Path) -> None:
    settings = realtime_settings(tmp_path, "behaving.py:Sizes", {"pause": 1.0}, batching={"max_wait_ms": 100})
    with replica(settings) as client:
        sizes = [int(asked.result().data) for asked in [client.begin(b"1") for _ in range(16)]]
        assert max(sizes) > 4


def test_a_reference_is_fetched_where_that_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "greeting.txt").write_text("hello")
    reference = "application/vnd.stream-infer.ref+json"
    with replica(realtime_settings(tmp_path, "behaving.py:Echo")) as client:
        inside = json.dumps({"uri": (tmp_path / "greeting.txt").as_uri()}).encode()
        assert client.ask(inside, content_type=reference).data == b'"hello"'
        outside = problem(client.ask(b'{"uri": "file:///etc/passwd"}', content_type=reference), 422, "item-rejected")
        assert outside["stage"] == "fetch"
        problem(client.ask(b"{}", content_type=reference), 422, "item-rejected")


def test_one_that_takes_the_process_down_fails_alone_and_its_neighbours_succeed(tmp_path: Path) -> None:
    settings = realtime_settings(tmp_path, "failing.py:Failing", batching={"max_wait_ms": 50})
    with replica(settings) as client:
        asked = [client.begin(b'"segfault"' if n == 5 else b"%d" % n) for n in range(12)]
        answers = [one.result() for one in asked]
        assert "SIGSEGV" in problem(answers[5], 500, "predictor-crashed")["detail"]
        assert [answer.data for answer in answers[:5] + answers[6:]] == [b"%d" % n for n in (*range(5), *range(6, 12))]
        assert client.ask(b'"fine"').status == 200
        until(lambda: client.get("/readyz").status == 200)


def test_what_does_not_fit_is_429_and_the_rest_is_answered(tmp_path: Path) -> None:
    realtime = {"max_in_flight": 3}
    settings = realtime_settings(tmp_path, "behaving.py:Sizes", {"pause": 3.0}, realtime=realtime)
    with replica(settings) as client:
        answers = [asked.result() for asked in [client.begin(b"1") for _ in range(8)]]
        refused = [answer for answer in answers if answer.status == 429]
        assert len(refused) == 5
        assert problem(refused[0], 429, "full")
        assert refused[0].headers["retry-after"] == "1"
        assert client.ask(b"1").status == 200


def test_past_its_deadline_a_request_is_504_and_the_next_one_is_served(tmp_path: Path) -> None:
    with replica(realtime_settings(tmp_path, "behaving.py:Sizes", {"pause": 6.0})) as client:
        began = time.monotonic()
        problem(client.ask(b"1", si_timeout="0.1"), 504, "deadline-passed")
        assert time.monotonic() - began < 5.5
        assert client.ask(b"1").status == 200


def test_a_client_that_hangs_up_gives_its_place_back(tmp_path: Path) -> None:
    settings = realtime_settings(tmp_path, "behaving.py:Sizes", {"pause": 0.5}, realtime={"max_in_flight": 1})
    with replica(settings) as client:
        impatient = urllib3.PoolManager(retries=False, timeout=0.1)
        with pytest.raises(urllib3.exceptions.TimeoutError):
            impatient.request("POST", client.url + PREDICT, body=b"1", headers={"content-type": "application/json"})
        impatient.clear()
        until(lambda: client.ask(b"1").status == 200, 30.0)


def listens(url: str) -> bool:
    try:
        return bool(urllib3.PoolManager(retries=False).request("GET", url + "/healthz").status)
    except urllib3.exceptions.HTTPError:
        return False


def test_asked_to_end_it_is_unready_first_finishes_what_it_has_and_then_takes_no_more(tmp_path: Path) -> None:
    settings = realtime_settings(
        tmp_path, "behaving.py:Sizes", {"pause": 1.0}, realtime={"drain_delay": 6.0}, batching={"max_batch_size": 1}
    )
    with replica(settings) as client:
        first, second = client.begin(b"1"), client.begin(b"2")
        time.sleep(0.5)
        client.stop()
        until(lambda: client.get("/readyz").status == 503, 5.5)
        third = client.begin(b"3")  # who does not know yet is still served
        answers = [first.result(), second.result(), third.result()]
        assert [answer.status for answer in answers] == [200, 200, 200]
        assert answers[2].headers["connection"] == "close"
        until(lambda: not listens(client.url))


def test_what_takes_longer_than_it_may_at_the_end_is_503(tmp_path: Path) -> None:
    settings = realtime_settings(tmp_path, "behaving.py:Sizes", {"pause": 20.0}, realtime={"drain_timeout": 0.2})
    with replica(settings) as client:
        asked = client.begin(b"1")
        time.sleep(1.0)
        client.stop()
        assert "had to end" in problem(asked.result(), 503, "unavailable")["detail"]


def test_a_model_that_cannot_be_loaded_is_said_and_without_realtime_nothing_is_served(tmp_path: Path) -> None:
    with pytest.raises(PredictorUnavailable), replica(realtime_settings(tmp_path, "unloadable.py:Raising")):
        pass
    settings = realtime_settings(tmp_path, "behaving.py:Echo")
    silent = settings.model_copy(update={"apis": [settings.apis[0].model_copy(update={"realtime": None})]})
    with pytest.raises(ConfigError, match="answers no requests"), replica(silent):
        pass


# Behind the gateway: its own application, but for what needs Kafka.


@contextmanager
def gateway_of(settings: Settings) -> Iterator[Client]:
    loop = asyncio.new_event_loop()
    urls: list[str] = []
    listening, ends = threading.Event(), asyncio.Event()

    async def serve() -> None:
        app = web.Application(middlewares=[answer_with_problems])
        predictions = Predictions(FixedSettings(settings))
        app.cleanup_ctx.append(predictions.opened)
        services: Any = SimpleNamespace(api=settings.api)
        app.add_routes(PredictResource(services, predictions).routes())
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        listening.set()
        await ends.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert listening.wait(10)
    client = Client(urls[0])
    try:
        yield client
    finally:
        client.close()
        loop.call_soon_threadsafe(ends.set)
        thread.join(10)
        loop.close()


@pytest.fixture
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Settings, list[Any]]]:
    """Settings of a gateway of two replicas, and those; its parameter is what a call takes, in seconds."""
    pause = getattr(request, "param", 0.3)
    settings = realtime_settings(
        tmp_path, "behaving.py:Sizes", {"pause": pause}, batching={"max_batch_size": 1}, realtime={"drain_delay": 5.0}
    )
    ports = find_free(2)
    with (
        replica_process(settings, tmp_path, ports[0]) as first,
        replica_process(settings, tmp_path, ports[1]) as second,
    ):
        realtime = settings.apis[0].realtime
        assert realtime is not None
        urls = [first.url, second.url]
        api = settings.apis[0].model_copy(update={"realtime": realtime.model_copy(update={"addresses": urls})})
        yield settings.model_copy(update={"apis": [api]}), [first, second]


@pytest.mark.parametrize("two", [3.0], indirect=True)
def test_the_gateway_uses_both_and_when_one_is_killed_the_other_answers(two: tuple[Settings, list[Any]]) -> None:
    settings, [first, second] = two
    with gateway_of(settings) as client:
        until(lambda: client.ask(b"1").status == 200)
        began = time.monotonic()
        assert [asked.result().status for asked in [client.begin(b"1") for _ in range(4)]] == [200] * 4
        assert time.monotonic() - began < 11.0, "four calls of 3 s by two"

        asked = [client.begin(b"1") for _ in range(2)]
        time.sleep(0.5)
        first.process.kill()
        statuses = sorted(one.result().status for one in asked)
        assert statuses == [200, 502]
        assert [client.ask(b"1").status for _ in range(2)] == [200] * 2

        second.process.send_signal(signal.SIGTERM)
        second.process.wait(60)
        assert "cannot be reached" in problem(client.ask(b"1"), 503, "not-ready")["detail"]


def test_a_replica_that_ends_in_order_costs_no_request(two: tuple[Settings, list[Any]]) -> None:
    settings, [first, _] = two
    with gateway_of(settings) as client:
        until(lambda: client.ask(b"1").status == 200)
        asked = []
        for number in range(40):
            asked.append(client.begin(b"1"))
            if number == 5:
                first.process.send_signal(signal.SIGTERM)
            time.sleep(0.35)
        assert [one.result().status for one in asked] == [200] * 40
        assert first.process.wait(60) == 0


def test_the_gateway_keeps_the_deadline_and_says_what_is_not_configured(two: tuple[Settings, list[Any]]) -> None:
    settings, _ = two
    with gateway_of(settings) as client:
        until(lambda: client.ask(b"1").status == 200)
        problem(client.ask(b"1", si_timeout="0.1"), 504, "deadline-passed")
    bare = settings.model_copy(update={"apis": [settings.apis[0].model_copy(update={"realtime": None})]})
    with gateway_of(bare) as client:
        assert "apis[].realtime" in problem(client.ask(b"1"), 404, "no-realtime")["detail"]
