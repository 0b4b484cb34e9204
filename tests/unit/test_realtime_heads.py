"""A head that came before is not read again; nobody can tell the difference."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.realtime.connection import Connection, ConnectionLimits
from stream_infer.realtime.heads import Heads
from stream_infer.realtime.messages import Reply, Request

HEAD = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n"
LINES = [
    b"Content-Type: application/json",
    b"Content-Length: 3",
    b"Content-Length: 0",
    b"Transfer-Encoding: chunked",
    b"Connection: close",
    b"Expect: 100-continue",
    b"Upgrade: h2c",
]


class Transport:
    def __init__(self):
        self.written = []
        self.is_closed = False

    def write(self, data):
        self.written.append(data)

    def close(self):
        self.is_closed = True

    def can_write_eof(self):
        return False

    def pause_reading(self):
        pass

    resume_reading = pause_reading


class Answers:
    """Echoes at once."""

    def __init__(self):
        self.requests = []

    def answer(self, request, asker):
        self.requests.append(request)
        asker.reply(Reply(200, "text/plain", request.method + request.target + request.body))
        return 0

    def leave(self, _token):
        raise AssertionError


@pytest.fixture(autouse=True)
def loop():
    """What lingers asks for a loop."""
    loop = asyncio.new_event_loop()
    asyncio._set_running_loop(loop)
    yield
    asyncio._set_running_loop(None)
    loop.close()


def read(heads, pieces):
    """What was asked, what was written, and whether that was the end."""
    answers, transport = Answers(), Transport()
    connection = Connection(answers, ConnectionLimits(1000), set(), heads)
    connection.connection_made(transport)
    for piece in pieces:
        connection.read(memoryview(piece))
    return answers.requests, [each.partition(b"\r\n\r\n")[2] for each in transport.written], transport.is_closed


requests = st.builds(
    lambda method, version, lines, body: b"\r\n".join([b"%b /p HTTP/%b" % (method, version), *lines, b"", body]),
    st.sampled_from([b"POST", b"GET", b"HEAD"]),
    st.sampled_from([b"1.1", b"1.0"]),
    st.lists(st.sampled_from(LINES), max_size=3),
    st.sampled_from([b"", b"abc", b"0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n", b"\r\n\r\n"]),
)
pieces = st.lists(requests | st.sampled_from([b"\r\n", b"a", b"abc", HEAD, HEAD + b"42", b"0\r\n\r\n"]), max_size=6)


@given(pieces, pieces)
def test_what_is_read_is_the_same_whatever_was_read_before(before, data):
    heads = Heads()
    for each in (before, data, data):
        read(heads, each)

    assert read(heads, data) == read(Heads(), data)


def test_a_head_that_came_before_is_looked_up_and_its_body_is_the_new_one():
    heads = Heads()
    assert heads.find(HEAD + b"42") is None
    read(heads, [HEAD + b"42"])

    assert heads.find(HEAD + b"17") == Request(b"POST", b"/p", {b"host": b"h", b"content-length": b"2"}, b"17")
    assert [request.body for request in read(heads, [HEAD + b"17", HEAD + b"18"])[0]] == [b"17", b"18"]
    assert heads.find(HEAD + b"1") is None
    assert heads.find(HEAD + b"17" + HEAD) is None


def test_only_so_many_are_kept():
    heads = Heads()
    for number in range(1000):
        request = Request(b"POST", b"/%d" % number, {b"content-length": b"0"}, b"")
        heads.keep(b"POST /%d HTTP/1.1\r\nContent-Length: 0\r\n\r\n" % number, request)
    assert len(heads._known) <= 256
    assert heads.find(b"POST /999 HTTP/1.1\r\nContent-Length: 0\r\n\r\n").target == b"/999"
