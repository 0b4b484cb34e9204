"""Bodies of requests, from a client that means ill."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream_infer.http import bodies
from stream_infer.http.bodies import GRACE_S, SLOWEST_BYTES_PER_S, is_too_slow, read_body
from stream_infer.http.callers import CALLER, Caller
from stream_infer.http.problems import Problem, ProblemKind


class Content:
    """Gives its chunks, then the end; None: nothing comes any more."""

    def __init__(self, *chunks: bytes | None) -> None:
        self.chunks = list(chunks)

    async def readany(self) -> bytes:
        chunk = self.chunks.pop(0) if self.chunks else b""
        if chunk is None:
            await asyncio.sleep(60)
        return cast(bytes, chunk)


class Asked(dict[Any, Any]):
    """As much of a request as is read here."""

    def __init__(
        self, *chunks: bytes | None, most: int = 10, length: int | None = None, own: int | None = None,
        is_let_in: Callable[[], bool] = lambda: True,
    ) -> None:  # fmt: skip
        super().__init__({CALLER: Caller("nightly", "id", own, is_let_in=is_let_in)})
        self.content = Content(*chunks)
        self.client_max_size = most
        self.content_length = length


def read(asked: Asked) -> bytes:
    return asyncio.run(read_body(cast(Any, asked)))


def refusal(asked: Asked) -> Problem:
    with pytest.raises(Problem) as caught:
        read(asked)
    return caught.value


def test_a_body_is_read_up_to_its_limit() -> None:
    assert read(Asked()) == b""
    assert read(Asked(b"12345", b"67890")) == b"1234567890"
    problem = refusal(Asked(b"12345", b"678901"))
    assert (problem.status, "limits.request_bytes" in problem.document.detail) == (413, True)


def test_a_length_beyond_the_limit_is_refused_before_anything_is_read() -> None:
    asked = Asked(b"1", length=11)
    assert refusal(asked).status == 413
    assert asked.content.chunks == [b"1"]


def test_a_key_may_have_a_smaller_limit_and_no_larger_one() -> None:
    problem = refusal(Asked(b"12345", own=4))
    assert (problem.status, "request_bytes of this API key" in problem.document.detail) == (413, True)
    assert refusal(Asked(b"12345678901", own=1000)).document.detail.count("limits.request_bytes") == 1
    assert read(Asked(b"1234", own=4)) == b"1234"


def test_a_body_ends_where_its_key_is_taken_back() -> None:
    answers = iter([True, False])
    problem = refusal(Asked(b"123", b"456", b"789", is_let_in=lambda: next(answers)))
    assert (problem.status, "behind 6 bytes" in problem.document.detail) == (401, True)


def test_a_client_that_falls_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SILENCE_S", 0.01)
    problem = refusal(Asked(b"123", None))
    assert (problem.status, problem.kind) == (408, ProblemKind.REQUEST_TIMEOUT)
    assert "behind 3 bytes" in problem.document.detail


def test_a_byte_now_and_then_is_too_slow_and_a_slow_line_is_not() -> None:
    assert not is_too_slow(GRACE_S, 0)
    assert is_too_slow(GRACE_S + 0.1, 10)
    an_hour = 3600.0
    assert not is_too_slow(an_hour, int(SLOWEST_BYTES_PER_S * (an_hour - GRACE_S)))
    assert is_too_slow(an_hour, int(SLOWEST_BYTES_PER_S * (an_hour - GRACE_S)) - SLOWEST_BYTES_PER_S)


def test_what_is_done_with_the_bytes_does_not_count_against_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    async def take_slowly() -> int:
        loop, taken, gone_s = asyncio.get_running_loop(), 0, 0.0
        clock = loop.time
        monkeypatch.setattr(loop, "time", lambda: clock() + gone_s)
        async for chunk in bodies.body_chunks(cast(Any, Asked(b"1", b"2", b"3"))):
            gone_s += 10 * GRACE_S
            taken += len(chunk)
        return taken

    assert asyncio.run(take_slowly()) == 3


def test_without_a_key_everybody_is_the_same_caller() -> None:
    assert bodies.caller_of(cast(Any, SimpleNamespace(get=lambda _key: None))).name == "anonymous"
