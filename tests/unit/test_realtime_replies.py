"""What became of an item, as HTTP says it."""

import json

from stream_infer.engine.isolation import OutOfMemory, PredictorCrashed, PredictorTimedOut
from stream_infer.errors import Stage
from stream_infer.http.problems import ProblemKind
from stream_infer.predictors.finding import full_name
from stream_infer.predictors.protocol import WrongNumberOfOutputs
from stream_infer.realtime.replies import failure_problem, failure_reply, retry_after
from stream_infer.records import Failure


def of(exception, message="it was so", **fields):
    return failure_problem(Failure(Stage.PREDICT, exception, message, **fields))


def test_a_rejected_item_is_422_with_its_stage_and_its_reason():
    reply = failure_reply(Failure(Stage.PREPROCESS, "stream_infer.errors.ItemError", "no face in it", final=True))
    problem = json.loads(reply.body)
    assert reply.status == problem["status"] == 422
    assert (problem["stage"], problem["detail"]) == ("preprocess", "no face in it")
    assert problem["exception"] == "stream_infer.errors.ItemError"


def test_a_process_that_died_of_the_item_is_500_and_the_signal_is_named():
    said = "the predictor's process was killed by SIGSEGV with this item alone in it"
    problem = of(full_name(PredictorCrashed), said, final=True)
    assert (problem.kind, problem.status) == (ProblemKind.PREDICTOR_CRASHED, 500)
    assert "SIGSEGV" in problem.document.detail
    assert of(full_name(PredictorTimedOut), final=True).status == 500


def test_what_is_the_predictors_own_fault_is_500_and_what_is_the_items_422():
    assert of(full_name(WrongNumberOfOutputs), final=True).status == 500
    assert of("builtins.KeyError").status == 500
    assert of(full_name(OutOfMemory), final=True).status == 422


def test_what_may_succeed_later_is_503_and_says_when():
    problem = of("RetryableError", retryable=True, retry_after=6.2)
    assert (problem.status, problem.all_headers()) == (503, {"Retry-After": "7"})
    assert retry_after(None) == 5
    assert retry_after(0.0) == 1
    assert retry_after(1e12) == 86400
