"""A replica's requests that bear a sampled `traceparent`, told as spans; made only where somebody traces."""

from __future__ import annotations

from collections.abc import Callable

from stream_infer.http.problems import Problem
from stream_infer.realtime.connection import Answers
from stream_infer.realtime.messages import Asker, Reply, Request
from stream_infer.telemetry.tracing import NO_SPAN, Kind, Span, begin_batch

_TRACEPARENT = b"traceparent"


class TracedAnswers:
    """Answers before the real ones."""

    def __init__(self, answers: Answers, api: str) -> None:
        self._answers = answers
        self._name = f"predict {api}"
        self._attributes = {"stream_infer.api": api}
        self._open: dict[int, Span] = {}

    def refusal(self, head: Request, length: int | None) -> Problem | None:
        return self._answers.refusal(head, length)

    def answer(self, request: Request, asker: Asker) -> int:
        said = request.headers.get(_TRACEPARENT)
        span: Span = NO_SPAN
        if said is not None:
            span = begin_batch(self._name, Kind.SERVER, [said], self._attributes)
        if span is NO_SPAN:
            return self._answers.answer(request, asker)
        traced = _TracedAsker(asker, span)
        token = self._answers.answer(request, traced)
        if token and not traced.has_reply:
            self._open[token] = span
            traced.forget = lambda: self._open.pop(token, None)
        return token

    def leave(self, token: int) -> None:
        self._answers.leave(token)
        span = self._open.pop(token, None)
        if span is not None:
            span.fail("gone")
            span.end()


class _TracedAsker:
    def __init__(self, asker: Asker, span: Span) -> None:
        self._asker = asker
        self._span = span
        self.has_reply = False
        self.forget: Callable[[], object] = lambda: None

    def reply(self, reply: Reply) -> None:
        self.has_reply = True
        self.forget()
        self._span.tell({"http.response.status_code": reply.status})
        if reply.status >= 500:
            self._span.fail(str(reply.status))
        self._span.end()
        self._asker.reply(reply)
