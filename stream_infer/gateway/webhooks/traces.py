"""The attempts at telling the ends of jobs that bear a sampled `traceparent`, told as spans; made only where somebody
traces. Receivers are told nothing of it: they are strangers.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from stream_infer.jobs.deliveries import Delivery
from stream_infer.ports import Posted
from stream_infer.telemetry.tracing import NO_SPAN, Attributes, Kind, Span, begin_batch


class AttemptTraces:
    """`traceparent_of` says that of the delivery's job, where it has one."""

    def __init__(self, traceparent_of: Callable[[Delivery], str | None]) -> None:
        self._traceparent_of = traceparent_of

    def began(self, delivery: Delivery, answer: Future[Posted | None]) -> None:
        """An attempt, which ends with its `answer`."""
        said = self._traceparent_of(delivery)
        if said is None:
            return
        attributes: Attributes = {
            "http.request.method": "POST",
            "http.request.resend_count": delivery.attempts,
            "stream_infer.api": delivery.api,
            "stream_infer.job.id": delivery.job_id,
            "stream_infer.webhook.event": delivery.event.value,
            "stream_infer.webhook.id": delivery.id,
        }
        span = begin_batch("deliver webhook", Kind.CLIENT, [said], attributes)
        if span is not NO_SPAN:
            answer.add_done_callback(partial(_end, span))


def _end(span: Span, answer: Future[Posted | None]) -> None:
    """In whichever thread ends the attempt."""
    if answer.cancelled():
        span.fail("given_up", "another gateway has the job's partition, and makes the attempt again")
    elif (error := answer.exception()) is not None:
        span.fail(type(error).__qualname__, str(error))
    elif (posted := answer.result()) is None:
        span.fail("withdrawn")
    else:
        if posted.status is not None:
            span.tell({"http.response.status_code": posted.status})
        if not posted.is_success:
            span.fail("no_answer" if posted.status is None else str(posted.status), posted.reason or "")
    span.end()
