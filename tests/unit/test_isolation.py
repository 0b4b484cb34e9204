"""Who is to blame for a failed call: a table of calls, endings and verdicts."""

import pytest

from stream_infer.engine.isolation import DEATHS_ALONE, Call, Died, Exhausted, Miscounted, Raised, judge
from stream_infer.engine.task import Task
from stream_infer.errors import Stage
from stream_infer.records import Failure, Payload

RAISED = Failure(Stage.PREDICT, "ValueError", "poison")
BUSY = Failure(Stage.PREDICT, "stream_infer.errors.RetryableError", "busy", retryable=True, retry_after=12.0)
GARBLED = Failure(Stage.DECODE, "stream_infer.errors.UndecodableItem", "not JSON")
OOM = Exhausted(Failure(Stage.PREDICT, "torch.OutOfMemoryError", "CUDA out of memory"))
SEGFAULT = Died("was killed by SIGSEGV", "Fatal Python error")
KILLED = Died("was killed by SIGKILL", "the last words", killed=True)


def call(count, **state):
    return Call(1, [Task(token, Payload(b"")) for token in range(count)], **state)


@pytest.mark.parametrize(
    ("given", "ending", "answered", "again", "suspect"),
    [
        pytest.param(call(4), Raised(RAISED), [], [[0, 1], [2, 3]], False, id="a batch that raised runs in halves"),
        pytest.param(call(3), Raised(RAISED), [], [[0, 1], [2]], False, id="the first half is the larger one"),
        pytest.param(call(1), Raised(RAISED), [(0, RAISED)], [], False, id="an item that raised alone is guilty"),
        pytest.param(call(2), Raised(BUSY), [(0, BUSY), (1, BUSY)], [], False, id="retryable: all, without splitting"),
        pytest.param(
            call(3), Raised(RAISED, {1: GARBLED}), [(1, GARBLED)], [[0], [2]], False, id="what failed before is out"
        ),
        pytest.param(
            call(2),
            Raised(RAISED, {0: GARBLED}),
            [(0, GARBLED), (1, RAISED)],
            [],
            False,
            id="the only one left is guilty",
        ),
        pytest.param(
            call(2), Miscounted("p.P", "1 output for 2 items"), [], [[0], [1]], False, id="a wrong number splits, too"
        ),
        pytest.param(call(3), SEGFAULT, [], [[0], [1], [2]], True, id="after a crash all run alone, as suspects"),
        pytest.param(call(1), SEGFAULT, [], [[0]], True, id="one crash may be bad luck, even alone"),
    ],
)
def test_verdict(given, ending, answered, again, suspect):
    verdict = judge(given, ending)
    assert [tuple(answer) for answer in verdict.answers] == answered
    assert [[task.token for task in tasks] for tasks in verdict.again] == again
    assert verdict.suspect is suspect


def test_a_suspect_that_kills_the_child_again_is_rejected_with_the_signal_and_the_last_words():
    verdict = judge(call(1, suspect=True), SEGFAULT)
    (answer,) = verdict.answers
    assert answer.outcome.exception == "stream_infer.engine.isolation.PredictorCrashed"
    assert "killed by SIGSEGV" in answer.outcome.message
    assert answer.outcome.stacktrace == "Fatal Python error"
    assert answer.outcome.message == (
        "the predictor's process was killed by SIGSEGV with this item alone in it; another had gone down with it before"
    )
    assert (answer.outcome.retryable, answer.outcome.final) == (False, True)
    assert not verdict.again


def test_a_suspect_that_hangs_again_is_rejected_as_timed_out():
    (answer,) = judge(call(1, suspect=True), Died("hung for 2 s", "", timed_out=True)).answers
    assert answer.outcome.exception == "stream_infer.engine.isolation.PredictorTimedOut"
    assert "hung for 2 s" in answer.outcome.message


def called_again(verdict, place=0):
    return Call(
        2, verdict.again[place], verdict.suspect, verdict.solo, verdict.miscounted, verdict.whole, verdict.deaths
    )


def test_a_micro_batch_whose_child_is_killed_is_halved_down_to_one_item_and_then_to_it_alone():
    given = call(8)
    sizes = []
    while not given.alone:
        verdict = judge(given, KILLED)
        assert (verdict.answers, verdict.suspect, verdict.whole) == ([], False, 8)
        sizes.append([len(tasks) for tasks in verdict.again])
        given = called_again(verdict)
    assert sizes == [[4, 4], [2, 2], [1, 1], [1]]


@pytest.mark.parametrize("how", ["solo", "suspect"])
def test_an_item_is_taken_for_the_reason_of_a_kill_only_when_it_was_alone_at_three(how):
    given = call(1, **{how: True})
    for _ in range(DEATHS_ALONE - 1):
        verdict = judge(given, KILLED)
        assert (verdict.answers, len(verdict.again)) == ([], 1)
        given = called_again(verdict)
        assert given.alone
    (answer,) = judge(given, KILLED).answers
    assert DEATHS_ALONE == 3
    assert (answer.outcome.exception, answer.outcome.final) == (
        "stream_infer.engine.isolation.PredictorCrashed",
        True,
    )
    assert answer.outcome.message == (
        "the predictor's process was killed by SIGKILL with this item alone in it, 3 times"
    )
    assert answer.outcome.stacktrace == "the last words"


def test_a_suspect_that_is_killed_from_outside_is_still_rejected_for_its_own_deed():
    given = called_again(judge(call(1, suspect=True), KILLED))
    assert given.suspect
    (answer,) = judge(given, SEGFAULT).answers
    assert "killed by SIGSEGV" in answer.outcome.message


def test_a_wrong_number_of_outputs_is_told_as_it_was_first_seen():
    whole = judge(call(32), Miscounted("p.P", "31 outputs for 32 items"))
    half = judge(call(2, miscounted=whole.miscounted), Miscounted("p.P", "1 output for 2 items"))
    (answer,) = judge(call(1, miscounted=half.miscounted), Miscounted("p.P", "0 outputs for 1 item")).answers
    assert answer.outcome.exception == "stream_infer.predictors.protocol.WrongNumberOfOutputs"
    assert answer.outcome.message == (
        "predictor p.P returned 31 outputs for 32 items, and 0 outputs for 1 item when this one was alone: "
        "predict must return one output per item"
    )


def test_a_micro_batch_that_does_not_fit_is_halved_down_to_an_item_that_is_alone_in_the_process():
    sizes, given = [], call(8)
    while len(given.tasks) > 1:
        verdict = judge(given, OOM)
        sizes.append([len(tasks) for tasks in verdict.again])
        given = Call(2, verdict.again[0], solo=verdict.solo, whole=verdict.whole)
    assert sizes == [[4, 4], [2, 2], [1, 1]]
    assert not given.alone  # the next micro-batch may be prepared beside it
    verdict = judge(given, OOM)
    assert (verdict.answers, verdict.solo, len(verdict.again), verdict.whole) == ([], True, 1, 8)


def test_an_item_that_does_not_fit_alone_is_rejected_with_its_size():
    given = Call(1, [Task(7, Payload(b"12345"))], solo=True)
    (answer,) = judge(given, OOM).answers
    assert (answer.token, answer.outcome.exception, answer.outcome.final) == (7, "torch.OutOfMemoryError", True)
    assert answer.outcome.message == (
        "this item (5 bytes) does not fit into memory, though it was alone: CUDA out of memory"
    )


def test_what_had_failed_before_memory_ran_out_is_out():
    verdict = judge(call(3), Exhausted(OOM.failure, {1: GARBLED}))
    assert [tuple(answer) for answer in verdict.answers] == [(1, GARBLED)]
    assert [[task.token for task in tasks] for tasks in verdict.again] == [[0], [2]]
