"""What the client asks, how often, and what it makes of the answers: without HTTP."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from stream_infer.clients import calls
from stream_infer.clients.call import Answer, Call, Outgoing, Request
from stream_infer.clients.environment import place
from stream_infer.clients.errors import (
    Conflict,
    GatewayFailed,
    GatewayUnavailable,
    ItemRejected,
    NotAuthorized,
    NotFound,
    RequestRefused,
    TooLarge,
    UnknownApi,
    UnknownJob,
    WaitTimeout,
    error_of,
)
from stream_infer.clients.following import PATIENCE_S as LOG_PATIENCE_S
from stream_infer.clients.following import LogFollower
from stream_infer.clients.gateway import Gateway
from stream_infer.clients.lines import EventReader, LineSplitter
from stream_infer.clients.steps import Attempt, Pause, Retries, attempts
from stream_infer.clients.waiting import PATIENCE_S, job_ended
from stream_infer.errors import ServiceUnavailable, StreamInferError, UsageError
from tests.support.job_bodies import job
from tests.support.steps import asked, carry_out

URN = "urn:stream-infer:problem:"


@pytest.mark.parametrize(
    ("status", "body", "kind", "code", "said"),
    [
        (404, {"type": f"{URN}unknown-api", "detail": "no such API"}, UnknownApi, 2, "no such API"),
        (404, {"detail": "no such thing"}, NotFound, 2, "no such thing"),
        (401, {"detail": "no key"}, NotAuthorized, 2, "no key"),
        (403, {"detail": "the key may not"}, NotAuthorized, 2, "may not"),
        (409, {"detail": "not final"}, Conflict, 2, "not final"),
        (413, {"detail": "over limits.request_bytes"}, TooLarge, 2, "limits.request_bytes"),
        (422, {"detail": "a", "errors": [{"pointer": "/a", "detail": "x"}, {"pointer": "/b", "detail": "y"}]},
         RequestRefused, 2, "  /a: x\n  /b: y"),
        (422, {"type": f"{URN}item-rejected", "detail": "no cat"}, ItemRejected, 1, "no cat"),
        (500, {"type": f"{URN}predictor-crashed", "detail": "SIGSEGV"}, ItemRejected, 1, "SIGSEGV"),
        (404, {"kind": "unknown_job", "error": "x", "message": "No job is 'j'"}, UnknownJob, 2, "No job is"),
        (400, [], RequestRefused, 2, "http://gateway answered 400"),
        (503, {"detail": "Kafka is away"}, GatewayUnavailable, 3, "Kafka is away"),
        (502, None, GatewayUnavailable, 3, "answered 502"),
        (500, {"detail": "its own fault"}, GatewayFailed, 1, "its own fault (the gateway answered 500)"),
        (302, None, GatewayFailed, 1, "answered 302"),
    ],
)  # fmt: skip
def test_a_problem_becomes_the_error_with_its_exit_code(
    status: int, body: Any, kind: type[StreamInferError], code: int, said: str
) -> None:
    error = error_of(status, {}, b"<html>" if body is None else json.dumps(body).encode(), "http://gateway")
    assert type(error) is kind
    assert error.exit_code == code
    assert said in str(error)


def test_an_error_keeps_the_problem_document() -> None:
    problem = {"type": f"{URN}idempotency-conflict", "detail": "another body", "known": [1]}
    error = error_of(422, {}, json.dumps(problem).encode(), "http://gateway")
    assert isinstance(error, RequestRefused)
    assert (error.kind, error.status, error.problem["known"]) == ("idempotency-conflict", 422, [1])
    away = error_of(429, {"retry-after": "7"}, b"", "http://gateway")
    assert isinstance(away, GatewayUnavailable)
    assert (away.retry_after, away.kind) == (7.0, "")


def test_an_unknown_job_is_a_kind_of_its_own_with_advice_for_a_terminal() -> None:
    body = {"type": f"{URN}unknown-job", "detail": "No job is named 'x'. GET /v1/jobs lists what."}
    error = error_of(404, {}, json.dumps(body).encode(), "http://gateway")
    assert isinstance(error, UnknownJob)
    assert str(error) == "No job is named 'x'. `stream-infer get` lists what."


def test_names_of_jobs_and_apis_stay_one_segment_of_the_path() -> None:
    assert calls.job("a/../b?c").request.path == "/v1/jobs/a%2F..%2Fb%3Fc"
    assert calls.jobs(api="a&b", after="j").request.path == "/v1/jobs?limit=20&api=a%26b&after=j"
    assert calls.dead_letter("jobs/j", "0-1").request.path == "/v1/jobs/j/dlq/0-1"


def test_a_submission_has_a_key_and_a_prediction_is_never_sent_twice() -> None:
    submitted = calls.submit("echo", {"item_list": {"items": [1]}}, "k").request
    assert submitted.headers["Idempotency-Key"] == "k"
    assert submitted.may_be_repeated
    assert not calls.predict("echo", b"1", "application/json").request.may_be_repeated
    once = Outgoing(lambda: iter(()), can_begin_again=False)
    assert not calls.upload("x", once).request.may_be_repeated
    assert calls.upload("x", Outgoing(lambda: iter(()), can_begin_again=True)).request.may_be_repeated


def test_what_is_no_gateway_of_ours_is_said_to_be_none() -> None:
    with pytest.raises(
        GatewayFailed, match=r"http://h/v1/jobs/j is no gateway of this version: \d+ errors in its JobBo"
    ):
        calls.job("j").read(Answer("http://h/v1/jobs/j", 200, {}, b"{}"))


GET = Request(method="GET", path="/", is_repeatable=True)


def tried(request: Request, *outcomes: object) -> tuple[Any, list[Any]]:
    left = iter(outcomes)
    steps = attempts(request, Retries(tries=4, first_s=1.0), chance=lambda: 0.0)
    return carry_out(steps, lambda _step: next(left))


def test_what_may_be_repeated_is_with_growing_pauses() -> None:
    away = GatewayUnavailable("away")
    assert tried(GET, away, away, away, "there") == (
        "there",
        [Attempt(GET), Pause(1.0), Attempt(GET), Pause(2.0), Attempt(GET), Pause(4.0), Attempt(GET)],
    )
    with pytest.raises(GatewayUnavailable):
        tried(GET, away, away, away, away)


def test_a_wish_to_come_later_is_kept_unless_it_is_too_late() -> None:
    assert tried(GET, GatewayUnavailable("full", retry_after=7.0), "there")[1][1] == Pause(7.0)
    with pytest.raises(GatewayUnavailable, match="tomorrow"):
        tried(GET, GatewayUnavailable("tomorrow", retry_after=86_400.0), "never asked")


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (Request(method="POST", path="/"), GatewayUnavailable("away")),
        (GET, RequestRefused("wrong")),
        (GET, GatewayFailed("broken")),
    ],
)
def test_nothing_else_is_repeated(request_: Request, error: StreamInferError) -> None:
    with pytest.raises(type(error)):
        tried(request_, error, "never asked")


def test_pauses_are_spread_so_that_clients_do_not_come_back_together() -> None:
    pauses = Retries(first_s=4.0, tries=9, longest_s=10.0)
    assert [pauses.pause_s(1, GatewayUnavailable(""), chance) for chance in (0.0, 0.5, 1.0)] == [4.0, 3.0, 2.0]
    assert pauses.pause_s(5, GatewayUnavailable(""), 0.0) == 10.0


def test_a_job_is_looked_at_ever_less_often_until_it_has_ended() -> None:
    found = iter([job(), job(), job(state="succeeded", is_final=True)])
    seen: list[Any] = []
    last, steps = carry_out(job_ended("j1", timeout_s=None, seen=seen.append), lambda _step: next(found))
    assert last.is_final
    assert [str(one.state) for one in seen] == ["running", "running", "succeeded"]
    assert asked(steps) == ["GET /v1/jobs/j1"] * 3
    first, second = (step.seconds for step in steps if isinstance(step, Pause))
    assert first < second


def test_waiting_ends_in_time_and_says_that_the_job_goes_on() -> None:
    with pytest.raises(WaitTimeout, match=r"job j1 has not ended within 0 s; it goes on") as error:
        carry_out(job_ended("j1", timeout_s=0.0, seen=lambda _job: None), lambda _step: job())
    assert isinstance(error.value, TimeoutError)


def test_a_gateway_that_is_away_for_a_while_does_not_end_the_waiting() -> None:
    from stream_infer.clients.waiting import until

    clock = iter(range(10_000))
    answers: Iterator[Any] = iter([job(), *[ServiceUnavailable("away")] * 5, job(state="succeeded", is_final=True)])
    look = calls.job("j1")

    def waiting() -> Any:
        return until(look, lambda found: found.is_final, timeout_s=None, what="", now=lambda: next(clock))

    assert carry_out(waiting(), lambda _step: next(answers))[0].is_final
    with pytest.raises(ServiceUnavailable):
        carry_out(waiting(), lambda _step: ServiceUnavailable("away"))
    assert next(clock) >= PATIENCE_S


def test_lines_are_whole_however_the_chunks_fall() -> None:
    data = "1\nzwei\u2028\n\n3".encode()
    for size in range(1, len(data) + 1):
        splitter = LineSplitter()
        chunks = [data[start : start + size] for start in range(0, len(data), size)]
        lines = [line for chunk in chunks for line in splitter.feed(chunk)] + list(splitter.end())
        assert lines == [b"1\n", "zwei\u2028\n".encode(), b"\n", b"3\n"]


def test_a_line_takes_as_long_as_it_is_long() -> None:
    """Past bug: each chunk was put behind a copy of all before it; a line of 16 MiB took 11 s."""
    splitter, began = LineSplitter(), time.process_time()
    for _ in range(16 * 1024):
        assert list(splitter.feed(bytes(1024))) == []
    assert [len(line) for line in splitter.end()] == [16 * 2**20 + 1]
    assert time.process_time() - began < 5


def test_events_are_read_as_the_gateway_writes_them() -> None:
    raw = b': lines follow\n\nid: 7\ndata: {"a":1}\n\n:\n\nevent: end\ndata: {}\n\n'
    reader = EventReader()
    found = [event for line in raw.split(b"\n")[:-1] if (event := reader.take(line + b"\n")) is not None]
    assert [(one.name, one.data, one.id) for one in found if one.data] == [
        ("message", '{"a":1}', "7"),
        ("end", "{}", "7"),
    ]


def test_a_stream_of_lines_that_breaks_off_is_asked_for_from_where_it_was() -> None:
    clock = [0.0]
    follower = LogFollower("j", now=lambda: clock[0])
    with pytest.raises(ServiceUnavailable):
        follower.require_patience(ServiceUnavailable("never was there"))
    line = {"at": 1.0, "source": "role", "role": "worker", "who": "w", "level": "info", "line": "x", "fields": {}}
    assert follower.request().path == "/v1/jobs/j/logs?follow=true"
    raws = [b"id: 5\n", b"data: " + json.dumps(line).encode() + b"\n", b"\n"]
    assert [said.line for raw in raws if (said := follower.take(raw)) is not None] == ["x"]
    clock[0] = LOG_PATIENCE_S
    follower.require_patience(ServiceUnavailable("away for a minute"))
    assert follower.request().path == "/v1/jobs/j/logs?follow=true&after=5"
    assert [follower.take(raw) for raw in (b"event: end\n", b"data: {}\n", b"\n")] == [None, None, None]
    assert follower.has_ended
    clock[0] += LOG_PATIENCE_S + 1
    with pytest.raises(ServiceUnavailable):
        follower.require_patience(ServiceUnavailable("away for too long"))


def test_no_gateway_is_a_service_that_cannot_be_reached() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        slept: list[float] = []
        client = Gateway(f"http://127.0.0.1:{taken.getsockname()[1]}", sleep=slept.append)
        with pytest.raises(GatewayUnavailable, match=r"Is `stream-infer up` running\?"):
            client.ask(calls.apis())
        client.close()
        assert len(slept) == 3
    for wrong in ("localhost:8080", "http://[::1", "ftp://h"):
        with pytest.raises(UsageError, match="is no address of a gateway"):
            Gateway(wrong)


def test_the_environment_says_what_is_not_given() -> None:
    said = {"STREAM_INFER_GATEWAY": "http://g:1 ", "STREAM_INFER_API_KEY": "k\n"}
    assert place(None, None, said) == ("http://g:1", "k")
    assert place("http://h", "", said) == ("http://h", None)
    assert place(None, None, {}) == ("http://127.0.0.1:8080", None)


def test_a_call_is_a_value() -> None:
    assert calls.stop("j").request == calls.stop("j").request
    assert isinstance(calls.stop("j"), Call)
