"""Bytes to requests and replies to bytes; the transport and what answers are the test's own."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.realtime.connection import Connection, ConnectionLimits
from stream_infer.realtime.messages import Reply

POST = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n42"


class Transport:
    def __init__(self):
        self.written = b""
        self.is_closed = self.is_aborted = self.is_paused = self.has_ended = False

    def write(self, data):
        assert not self.is_closed
        self.written += data

    def close(self):
        self.is_closed = True

    def abort(self):
        self.is_aborted = True

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.has_ended = True

    def pause_reading(self):
        self.is_paused = True

    def resume_reading(self):
        self.is_paused = False

    def answers(self):
        """Statuses and bodies of what was written."""
        found, rest = [], self.written
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
            length = int(headers.get(b"content-length", 0))
            found.append((int(head[9:12]), rest[:length], headers))
            rest = rest[length:]
        return found


class Answers:
    """Keeps requests until the test answers; `at_once` echoes. `unwanted` refuses bodies before they come."""

    def __init__(self, at_once=False):
        self.requests = []
        self.left = []
        self.at_once = at_once
        self.unwanted = None
        self.heads = []

    def refusal(self, head, length):
        self.heads.append((head.target, length))
        return self.unwanted

    def answer(self, request, asker):
        self.requests.append(request)
        if self.at_once:
            asker.reply(Reply(200, "application/json", request.body))
            return 0
        return len(self.requests)

    def leave(self, token):
        self.left.append(token)


def connected(at_once=False, body_bytes=1000):
    answers, transport, connections = Answers(at_once), Transport(), set()
    connection = Connection(answers, ConnectionLimits(body_bytes), connections)
    connection.connection_made(transport)
    assert connections == {connection}
    return connection, transport, answers


@pytest.fixture(autouse=True)
def loop():
    """What lingers asks for a loop."""
    loop = asyncio.new_event_loop()
    asyncio._set_running_loop(loop)
    yield loop
    asyncio._set_running_loop(None)
    loop.close()


@pytest.mark.parametrize(
    ("framing", "length"), [(b"Content-Length: 100000", 100_000), (b"Transfer-Encoding: chunked", None)]
)
def test_a_body_that_nobody_wants_is_not_read(framing, length):
    """And is not asked for: the client waits for `100 Continue` before it sends it."""
    connection, transport, answers = connected(body_bytes=200_000)
    answers.unwanted = Problem(ProblemKind.NO_KEY, "no")
    connection.read(b"POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n" + framing + b"\r\n\r\n")
    connection.read(b"x" * 50_000)
    assert answers.heads == [(b"/p", length)]
    assert connection._body == []
    assert answers.requests == []
    [(status, _, headers)] = transport.answers()
    assert (status, headers[b"connection"]) == (401, b"close")
    assert transport.has_ended


def test_a_body_that_is_wanted_or_comes_with_its_head_is_read():
    connection, transport, answers = connected(at_once=True, body_bytes=200_000)
    connection.read(b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
    connection.read(b"x" * 100_000)
    answers.unwanted = Problem(ProblemKind.NO_KEY, "no")
    connection.read(POST)
    assert [len(request.body) for request in answers.requests] == [100_000, 2]
    assert [status for status, _, _ in transport.answers()] == [200, 200]


def test_a_request_is_read_in_whatever_pieces_it_comes():
    connection, transport, answers = connected(at_once=True)
    for byte in POST:
        connection.read(bytes([byte]))
    [request] = answers.requests
    assert (request.method, request.target, request.body) == (b"POST", b"/p", b"42")
    assert request.headers[b"content-type"] == b"application/json"
    [(status, body, headers)] = transport.answers()
    assert (status, body) == (200, b"42")
    assert b"date" in headers
    assert b"connection" not in headers
    assert not transport.is_closed


@given(st.lists(st.integers(1, 60), max_size=40), st.lists(st.binary(max_size=30), min_size=1, max_size=5))
def test_requests_are_the_same_wherever_the_stream_is_cut(cuts, bodies):
    connection, transport, answers = connected(at_once=True)
    data = b"".join(b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (len(b), b) for b in bodies)
    for cut in cuts:
        connection.read(data[:cut])
        data = data[cut:]
    connection.read(data)
    assert [request.body for request in answers.requests] == bodies
    assert [body for _, body, _ in transport.answers()] == bodies


@given(st.binary(max_size=300))
def test_whatever_bytes_come_nothing_is_raised(data):
    connection, transport, _ = connected(at_once=True)
    connection.read(data)
    assert all(status < 500 for status, _, _ in transport.answers())


def test_chunked_bodies_are_put_together():
    connection, _, answers = connected(at_once=True)
    head = b"POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection.read(head + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
    assert answers.requests[0].body == b"abc"


def test_requests_that_come_before_an_answer_are_answered_in_their_order_and_not_read_without_end():
    connection, transport, answers = connected()
    connection.read(POST * 6)
    assert len(answers.requests) == 1
    assert transport.is_paused
    for n in range(6):
        connection.reply(Reply(200, "text/plain", b"%d" % n))
    assert [body for _, body, _ in transport.answers()] == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert not transport.is_paused


def test_a_thousand_answers_at_once_are_no_recursion():
    connection, transport, _ = connected(at_once=True)
    connection.read(POST * 3000)
    assert len(transport.answers()) == 3000


def test_a_client_that_does_not_read_is_not_answered_on():
    connection, transport, answers = connected(at_once=True)
    connection.pause_writing()
    connection.read(POST * 2)
    assert answers.requests == []
    connection.resume_writing()
    assert len(transport.answers()) == 2


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01 this is TLS\r\n\r\n", 400),
        (b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (b"GET /" + b"x" * 70_000, 431),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000, 431),
        (b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n", 413),
        (b"POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001, 413),
    ],
)
def test_what_cannot_be_read_is_a_problem_and_the_end_of_the_connection(data, status):
    connection, transport, answers = connected()
    connection.read(data)
    [(found, body, headers)] = transport.answers()
    assert found == status == json.loads(body)["status"]
    assert headers[b"connection"] == b"close"
    assert answers.requests == []
    assert transport.has_ended
    connection.read(POST)  # what still comes is not looked at
    assert len(transport.answers()) == 1


def test_the_request_before_a_bad_one_is_answered_first():
    connection, transport, _ = connected()
    connection.read(POST + b"nonsense\r\n\r\n")
    assert transport.written == b""
    connection.reply(Reply(200, "text/plain", b"fine"))
    assert [status for status, _, _ in transport.answers()] == [200, 400]


def test_who_asks_for_another_protocol_is_answered_in_this_one():
    connection, transport, _ = connected(at_once=True)
    connection.read(b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n")
    connection.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    [(status, _, headers)] = transport.answers()
    assert (status, headers[b"connection"]) == (200, b"close")
    assert transport.is_closed


def test_a_large_body_that_waits_to_be_asked_for_is_asked_for():
    connection, transport, _ = connected()
    connection.read(b"POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert transport.written == b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize("asks", [b"HTTP/1.1\r\nConnection: close", b"HTTP/1.0", b"HTTP/1.0\r\nConnection: keep-alive"])
def test_who_wants_the_connection_to_end_is_obeyed(asks):
    connection, transport, _ = connected(at_once=True)
    connection.read(b"GET / " + asks + b"\r\nHost: h\r\n\r\n")
    assert transport.answers()[0][2][b"connection"] == b"close"
    assert transport.is_closed


def test_an_answer_without_a_body_and_one_to_head_have_none():
    connection, transport, _ = connected()
    connection.read(POST)
    connection.reply(Reply(204, None, b""))
    assert b"content-length" not in transport.answers()[0][2]
    connection.read(b"HEAD /readyz HTTP/1.1\r\nHost: h\r\n\r\n")
    connection.reply(Reply(200, "application/json", b"{}"))
    assert transport.written.endswith(b"content-length: 2\r\n\r\n")


def test_who_hangs_up_is_left_and_who_only_has_said_all_is_answered():
    connection, _, answers = connected()
    connection.read(POST)
    connection.connection_lost(None)
    assert answers.left == [1]
    connection.reply(Reply(200, "text/plain", b"too late"))

    connection, transport, answers = connected()
    connection.read(POST)
    assert connection.eof_received()
    connection.reply(Reply(200, "text/plain", b"1"))
    assert transport.is_closed
    assert not connected()[0].eof_received()


def test_at_the_end_idle_connections_are_closed_and_busy_ones_with_their_answer():
    idle, transport, _ = connected()
    idle.close_if_idle()
    assert transport.is_closed
    busy, transport, _ = connected()
    busy.read(POST)
    busy.close_if_idle()
    assert not transport.is_closed
    busy.reply(Reply(200, "text/plain", b"1"))
    assert transport.answers()[0][2][b"connection"] == b"close"
    assert transport.is_closed


def test_a_request_that_never_ends_and_a_connection_that_nobody_uses_are_ended():
    connection, transport, _ = connected()
    connection.read(b"POST /p HTTP/1.1\r\n")
    connection.check_time(connection._since + 59)
    assert transport.written == b""
    connection.check_time(connection._since + 61)
    assert transport.answers()[0][0] == 408
    connection, transport, _ = connected()
    connection.check_time(connection._since + 76)
    assert transport.is_closed


def test_a_content_type_of_a_predictors_own_cannot_write_headers():
    connection, transport, _ = connected()
    connection.read(POST)
    connection.reply(Reply(200, "text/plain\r\nset-cookie: x=y", b""))
    assert b"\r\nset-cookie" not in transport.written
