"""What became of an item, as HTTP says it. Pure.

| outcome | status |
| --- | --- |
| an output | 200 with its content type; None: 204 |
| rejected: it would fail the same way again | 422 |
| a service that the predictor needs is away, or asks to come later | 503 with `Retry-After` |
| the predictor raised anything else, or miscounted | 500 |
| it took the predictor's process down, or hung | 500, the signal or the time named |
"""

from __future__ import annotations

import math

from stream_infer.engine.isolation import PredictorCrashed, PredictorTimedOut
from stream_infer.http.problems import RETRY_AFTER_S, Problem, ProblemKind
from stream_infer.predictors.finding import full_name
from stream_infer.predictors.protocol import WrongNumberOfOutputs
from stream_infer.realtime.messages import Reply, problem_reply
from stream_infer.records import Failure

_TOOK_DOWN = frozenset({full_name(PredictorCrashed), full_name(PredictorTimedOut)})
_FAULTS_OF_THE_PREDICTOR = frozenset({full_name(WrongNumberOfOutputs)})
_LONGEST_RETRY_S = 86400


def output_reply(value: bytes | None, content_type: str) -> Reply:
    return Reply(204, None, b"") if value is None else Reply(200, content_type, value)


def failure_reply(failure: Failure) -> Reply:
    return problem_reply(failure_problem(failure))


def failure_problem(failure: Failure) -> Problem:
    """With its stage and the exception's name as members; the stack stays in the log."""
    kind = ProblemKind.ITEM_MAY_SUCCEED if failure.retryable else _kind_of(failure)
    headers = {"Retry-After": str(retry_after(failure.retry_after))} if failure.retryable else {}
    problem = Problem(kind, failure.message or failure.exception, headers=headers)
    return problem.with_members(stage=failure.stage.value, exception=failure.exception)


def retry_after(wish: float | None) -> int:
    """Whole seconds, as the header has them."""
    return RETRY_AFTER_S if wish is None else max(1, math.ceil(min(wish, _LONGEST_RETRY_S)))


def _kind_of(failure: Failure) -> ProblemKind:
    if failure.exception in _TOOK_DOWN:
        return ProblemKind.PREDICTOR_CRASHED
    if failure.final and failure.exception not in _FAULTS_OF_THE_PREDICTOR:
        return ProblemKind.ITEM_REJECTED
    return ProblemKind.ITEM_FAILED


def late(timeout_s: float) -> Problem:
    detail = (
        f"There was no answer within {timeout_s:g} s; nobody waits for it any more. Ask for more time with the header "
        "si-timeout, up to apis[].realtime.timeout, or come when there is less to do."
    )
    return Problem(ProblemKind.DEADLINE_PASSED, detail)


def full(what: str) -> Problem:
    detail = f"This replica has taken {what} that it has not answered yet, as many as it may. Come again."
    return Problem(ProblemKind.FULL, detail, headers={"Retry-After": "1"})


def draining() -> Problem:
    return Problem(ProblemKind.NOT_READY, "This replica is about to end and takes no more; another one may.")


def cut_short() -> Problem:
    detail = "This replica had to end before the item was answered; it may have been run. Send it again."
    return Problem(ProblemKind.UNAVAILABLE, detail)


def loading(predictor: str) -> Problem:
    return Problem(ProblemKind.NOT_READY, f"Predictor {predictor} is loading.")


def unavailable(reason: str) -> Problem:
    return Problem(ProblemKind.PREDICTOR_UNAVAILABLE, f"{reason[:1000]}. It is tried again; come later.")
