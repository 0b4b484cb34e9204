"""The engine with real child processes."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import orjson
import psutil
import pytest

from stream_infer.engine.engine import Engine
from stream_infer.engine.keeper import State
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import Task
from stream_infer.errors import PredictorUnavailable, Stage
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.records import Failure, Output, Payload

PREDICTORS = Path(__file__).parents[1] / "predictors"
PATIENCE_S = 30.0


@pytest.fixture
def lines():
    return []


@pytest.fixture
def engine_of(lines):
    """Makes an engine, not yet ready; closes what it made."""
    made = []

    def make(target, config=None, journal=None, on_line=lines.append, **policy):
        policy = EnginePolicy(**{"restart_delay_s": 0.05, "terminate_timeout_s": 2.0, **policy})
        spec = PredictorSpec("native", target, config or {}, directory=str(PREDICTORS))
        engine = Engine(spec, policy, on_line=on_line, journal=journal)
        made.append(engine)
        engine.start()
        return engine

    yield make
    for engine in made:
        engine.close(1.0)


@pytest.fixture
def ready(engine_of):
    def make(target, config=None, **policy):
        engine = engine_of(target, config, **policy)
        engine.wait_ready(PATIENCE_S)
        return engine

    return make


def test_the_size_of_a_micro_batch_is_found_before_the_first_item(ready, lines):
    engine = ready("tuned.py:Clocked", max_batch_size=64, finds_batch_size=True)

    assert engine.batch_size == 16
    sizes = ask(engine, list(range(40)))
    assert max(sizes) == 16
    engine.close(5.0)
    assert any("max_batch_size is 16 items a call" in line for line in lines)


def test_what_is_due_while_the_child_has_no_place_for_it_still_grows(ready, tmp_path):
    gate = tmp_path / "gate"
    engine = ready("behaving.py:Gated", {"gate": str(gate)}, max_batch_size=6, max_wait_s=0.0, pipeline_depth=2)
    answers = []
    for task in as_tasks(["wait", *range(10)]):
        engine.submit(task)
        answers += engine.poll(0.0)
    assert not answers

    gate.touch()
    sizes = collect(engine, 11)

    # One is at the gate, one behind it in the child; then the full one, though it came before what was left was due.
    assert [orjson.loads(sizes[token].value) for token in range(11)] == [1, 1, *[6] * 6, *[3] * 3]


def test_a_size_that_takes_the_process_down_is_not_tried_again_nor_is_anything_searched_twice(ready, lines):
    engine = ready("tuned.py:FallsOver", max_batch_size=64, finds_batch_size=True)
    assert engine.batch_size == 8

    outcomes = ask(engine, ["fall", 1])

    assert outcomes[1] == 1
    assert isinstance(outcomes[0], Failure)
    assert engine.batch_size == 8
    engine.close(5.0)
    assert sum("max_batch_size is" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("target", "words"),
    [("tuned.py:WithoutExample", "no method example"), ("tuned.py:FailsWithItsExample", "fails with the item of its")],
)
def test_a_predictor_that_cannot_be_tried_is_refused(engine_of, target, words):
    engine = engine_of(target, finds_batch_size=True)

    with pytest.raises(PredictorUnavailable, match=words):
        engine.wait_ready(PATIENCE_S)


def as_tasks(values):
    return [Task(token, Payload(orjson.dumps(value))) for token, value in enumerate(values)]


def collect(engine, count):
    """Outcomes by token; fails when they do not come, or when there is one too many."""
    answers = []
    deadline = time.monotonic() + PATIENCE_S
    while len(answers) < count:
        answers += engine.poll(1.0)
        assert time.monotonic() < deadline, (answers, engine.readiness)
    answers += engine.poll(0.0)
    outcomes = dict(answers)
    assert len(answers) == len(outcomes) == count
    return outcomes


def ask(engine, values):
    """Outputs as Python values, failures as they are, in the order of the values."""
    engine.submit_many(as_tasks(values))
    outcomes = collect(engine, len(values))
    assert (engine.in_flight, engine.in_flight_bytes) == (0, 0)
    return [
        orjson.loads(outcome.value) if isinstance(outcome, Output) and outcome.value is not None else outcome
        for outcome in (outcomes[token] for token in range(len(values)))
    ]


def child_of(engine):
    return psutil.Process(engine._keeper.host.pid)


def test_every_item_gets_its_own_output(ready):
    engine = ready("behaving.py:Echo", max_batch_size=7)
    values = [{"n": n} for n in range(100)]
    assert ask(engine, values) == values
    assert engine.predictor_name == "behaving.Echo"


def test_an_idle_model_does_not_wait_for_more(ready):
    engine = ready("behaving.py:Sizes", max_batch_size=100, max_wait_s=60.0)
    assert ask(engine, ["a", "b"]) == [2, 2]


def test_an_idle_model_waits_for_what_is_on_its_way(ready):
    engine = ready("behaving.py:Sizes", max_batch_size=3, max_wait_s=60.0)
    engine.submit_many(as_tasks(["a", "b"]))
    assert engine.poll(0.1, waiting_upstream=1) == []
    engine.submit(Task(2, Payload(b'"c"')))
    assert [outcome.value for outcome in collect(engine, 3).values()] == [b"3"] * 3


def test_what_comes_while_the_model_works_goes_together(ready):
    engine = ready("behaving.py:Sizes", {"pause": 0.2}, max_batch_size=100, max_wait_s=60.0)
    engine.submit(Task(0, Payload(b"1")))
    engine.poll(0.0)
    engine.submit_many([Task(token, Payload(b"1")) for token in (1, 2, 3)])
    assert [outcome.value for _, outcome in sorted(collect(engine, 4).items())] == [b"1", b"3", b"3", b"3"]


@pytest.mark.parametrize("shares_memory", [True, False])
def test_large_payloads_pass_in_both_directions(ready, monkeypatch, shares_memory):
    if not shares_memory:
        monkeypatch.setattr(os, "memfd_create", refuse)
    engine = ready("behaving.py:Echo", max_batch_size=8, max_batch_bytes=10**19)
    arena = engine._keeper.host._arena
    for _ in range(20):  # more than the arena holds
        payloads = [bytes([number]) * 3_000_000 for number in range(8)]
        tasks = [Task(token, Payload(data, "application/octet-stream")) for token, data in enumerate(payloads)]
        engine.submit_many(tasks)
        assert [outcome.value for _, outcome in sorted(collect(engine, 8).items())] == payloads
        assert (arena is not None) == shares_memory
        assert arena is None or not arena._taken


def refuse(*_):
    raise PermissionError("not in this sandbox")


def test_items_of_several_kinds_share_a_micro_batch(ready):
    engine = ready("behaving.py:Echo", max_batch_size=3)
    engine.submit_many(
        [Task(0, Payload(b"[1]")), Task(1, Payload(b"hi", "text/plain")), Task(2, Payload(b"\xff", "image/png"))]
    )
    outcomes = collect(engine, 3)
    assert outcomes == {0: Output(b"[1]"), 1: Output(b'"hi"'), 2: Output(b"\xff", "application/octet-stream")}


def test_an_item_that_is_not_json_fails_alone(ready):
    engine = ready("behaving.py:Echo", max_batch_size=3)
    engine.submit_many([Task(0, Payload(b"1")), Task(1, Payload(b"{1")), Task(2, Payload(b"3"))])
    outcomes = collect(engine, 3)
    assert (outcomes[0], outcomes[2]) == (Output(b"1"), Output(b"3"))
    assert (outcomes[1].stage, outcomes[1].exception) == (Stage.DECODE, "stream_infer.errors.UndecodableItem")


def test_outputs_fail_one_by_one(ready):
    engine = ready("behaving.py:Assorted", max_batch_size=9)
    names = ["text", "bytes", "none", "set", "nan", "null", "keys", "reject", "retry"]
    engine.submit_many(as_tasks(names))
    outcomes = collect(engine, len(names))
    text, binary, none, a_set, nan, null, keys, reject, retry = (outcomes[token] for token in range(len(names)))
    assert text == Output(b'"plain"')
    assert binary == Output(b"\x00\x01", "application/octet-stream")
    assert none == Output(None)
    assert (a_set.stage, a_set.exception) == (Stage.ENCODE, "stream_infer.errors.RefusedOutput")
    assert "output['deep'][1] is of type set" in a_set.message
    assert "output['score'] is not a number" in nan.message
    assert null == Output(b'{"score":null}')
    assert keys == Output(b'{"1":"one"}')
    assert (reject.stage, reject.exception, reject.message) == (Stage.PREDICT, "ValueError", "this one not")
    assert (retry.retryable, retry.retry_after) == (True, 3.0)


def test_preprocess_runs_in_threads_and_its_failures_are_single_items(ready):
    engine = ready("behaving.py:Preprocessing", max_batch_size=5)
    good, bad, refused, later, also_good = ask(engine, ["a", "bad", "refused", "later", "b"])
    assert (good, also_good) == ("A", "B")
    assert (bad.stage, bad.exception, bad.message) == (Stage.PREPROCESS, "ValueError", "bad item")
    assert "in preprocess" in bad.stacktrace
    assert refused.stage is Stage.PREPROCESS
    assert (later.retryable, later.retry_after) == (True, 7.0)


def test_only_the_guilty_items_of_a_micro_batch_fail(ready):
    engine = ready("failing.py:Failing", max_batch_size=16)
    values = ["raise" if n in (3, 11) else n for n in range(32)]
    outcomes = ask(engine, values)
    for value, outcome in zip(values, outcomes, strict=True):
        if value == "raise":
            assert (outcome.stage, outcome.exception) == (Stage.PREDICT, "ValueError")
            assert "poison in the batch" in outcome.stacktrace
            assert not outcome.retryable
        else:
            assert outcome == value


def test_a_retryable_error_is_every_items_and_splits_nothing(ready):
    engine = ready("failing.py:Failing", max_batch_size=4)
    outcomes = ask(engine, [1, 2, "retry", 4])
    assert {(outcome.retryable, outcome.retry_after) for outcome in outcomes} == {(True, 12.0)}


@pytest.mark.parametrize(("wish", "seconds"), [("30", 30.0), (["30"], None), ("1" * 400, None), (-5, None)])
def test_a_wish_to_come_back_later_that_is_no_number_of_seconds_is_none(ready, wish, seconds):
    (outcome,) = ask(ready("failing.py:Failing"), [{"retry_after": wish}])
    assert (outcome.message, outcome.retryable, outcome.retry_after) == ("the service is busy", True, seconds)


def test_a_log_that_takes_no_lines_fails_no_item(engine_of, lines):
    """A full disk: every line raises for a while; the predictor prints on, more than a pipe holds."""
    lost = []

    def on_line(line):
        if len(lost) < 20_000:
            lost.append(line)
            raise OSError(errno.ENOSPC, "No space left on device")
        lines.append(line)

    engine = engine_of("failing.py:Failing", on_line=on_line, max_batch_size=1)
    assert ask(engine, [{"print": 20_000}, {"print": 10}, 3]) == [{"print": 20_000}, {"print": 10}, 3]
    engine.close(5.0)
    assert (len(lost), lines) == (20_000, [f"line {n}" for n in range(10)])


def test_31_outputs_for_32_items_are_told_by_name(ready):
    engine = ready("failing.py:OneShort", {"least": 0}, max_batch_size=32)
    outcomes = ask(engine, list(range(32)))
    assert {outcome.exception for outcome in outcomes} == {"stream_infer.predictors.protocol.WrongNumberOfOutputs"}
    assert "predictor failing.OneShort returned 31 outputs for 32 items" in outcomes[0].message


def test_items_whose_number_of_outputs_is_right_alone_succeed(ready):
    assert ask(ready("failing.py:OneShort", {"least": 1}, max_batch_size=8), list(range(8))) == list(range(8))


def test_something_else_than_a_list_is_told_so(ready):
    (outcome,) = ask(ready("failing.py:NoList"), [1])
    assert "returned a NoneType instead of a list of outputs for 1 item" in outcome.message


@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        ("segfault", "was killed by SIGSEGV"),
        ("kill", "was killed by SIGKILL"),
        ("abort", "was killed by SIGABRT"),
        ("exit", "exited with status 3"),
        ("leave", "exited with status 4"),
        ("close", "exited with status 74"),
        ("garble", "wrote b'GET / HTTP/1"),
        ("drain", "where a frame begins"),
    ],
)
def test_an_item_that_takes_the_process_down_fails_alone(ready, poison, reason):
    engine = ready("failing.py:Failing", max_batch_size=4, heartbeat_timeout_s=4.0)
    outcomes = ask(engine, [0, 1, poison, 3, 4, 5])
    assert [outcomes[n] for n in (0, 1, 3, 4, 5)] == [0, 1, 3, 4, 5]
    assert outcomes[2].exception == "stream_infer.engine.isolation.PredictorCrashed"
    assert reason in outcomes[2].message
    # Alone it was killed three times, before it was taken for the reason.
    assert outcomes[2].message.endswith("3 times" if poison == "kill" else "another had gone down with it before")
    if poison == "segfault":
        assert "about to read address 0" in outcomes[2].stacktrace
        assert "in suffer" in outcomes[2].stacktrace


@pytest.mark.parametrize("returned", [False, True])
@pytest.mark.parametrize(
    "says", ["CUDA error: device-side assert triggered", "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"]
)
def test_a_poisoned_cuda_context_is_a_crash_of_the_item_that_poisoned_it(ready, says, returned):
    engine = ready("failing.py:Poisoned", {"says": says, "returned": returned}, max_batch_size=4)
    outcomes = ask(engine, [0, 1, "poison", 3, 4, 5])
    assert [outcomes[n] for n in (0, 1, 3, 4, 5)] == [0, 1, 3, 4, 5]
    assert outcomes[2].exception == "stream_infer.engine.isolation.PredictorCrashed"
    assert outcomes[2].final
    assert f"could not go on after RuntimeError: {says}" in outcomes[2].message
    assert "raise self.error" in outcomes[2].stacktrace or returned


def test_an_error_that_is_no_exception_ends_no_process(ready):
    engine = ready("failing.py:Failing", max_batch_size=4)
    pid = child_of(engine).pid
    outcomes = ask(engine, [0, "panic", 2])
    assert (outcomes[0], outcomes[1].exception, outcomes[2]) == (0, "failing.Panic", 2)
    assert child_of(engine).pid == pid


def test_sys_exit_waits_for_no_thread(ready):
    engine = ready("failing.py:ExitingWithThreads", max_batch_size=2)
    outcomes = ask(engine, ["exit", 1])
    assert outcomes[1] == 1
    assert "exited with status 1" in outcomes[0].message
    assert "no more of this" in outcomes[0].stacktrace


def test_a_crash_in_preprocess_suspects_what_is_predicted_meanwhile_and_both_are_told_apart(ready, tmp_path):
    engine = ready("failing.py:CrashingWhileBusy", {"seen": str(tmp_path / "seen")}, max_batch_size=2)
    outcomes = ask(engine, ["slow", "slow", "segfault", 3, 4])
    assert [outcomes[n] for n in (0, 1, 3, 4)] == ["slow", "slow", 3, 4]
    assert "was killed by SIGSEGV" in outcomes[2].message


def test_a_crash_in_preprocess_is_an_items_fault_too(ready):
    engine = ready("failing.py:CrashingInPreprocess", max_batch_size=2)
    outcomes = ask(engine, [0, 1, "segfault", 3])
    assert [outcomes[n] for n in (0, 1, 3)] == [0, 1, 3]
    assert "was killed by SIGSEGV" in outcomes[2].message


def test_collate_runs_in_a_thread_and_gets_what_preprocess_has_left(ready):
    engine = ready("collating.py:Collating", max_batch_size=4)
    outcomes = ask(engine, [0, None, 2])
    assert (outcomes[0], outcomes[2]) == ([1, 2], [3, 2])
    assert outcomes[1].stage is Stage.PREPROCESS


@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        ("raise", "poison in the batch"),
        ("panic", "as in an extension in Rust"),
        ("segfault", "was killed by SIGSEGV"),
        ("exit", "exited with status 3"),
        ("hang", "hung for 2 s"),
    ],
)
def test_an_item_that_fails_in_collate_fails_alone(ready, poison, reason):
    engine = ready("collating.py:FailingInCollate", max_batch_size=4, call_timeout_s=2.0 if poison == "hang" else 30.0)
    outcomes = ask(engine, [0, 1, 2, 3, 4, poison, 6, 7])
    assert [outcomes[n] for n in (0, 1, 2, 3, 4, 6, 7)] == [0, 1, 2, 3, 4, 6, 7]
    assert reason in outcomes[5].message


def test_a_retryable_error_of_collate_is_every_items(ready):
    engine = ready("collating.py:FailingInCollate", max_batch_size=4)
    outcomes = ask(engine, [0, "retry"])
    assert [(each.retryable, each.retry_after) for each in outcomes] == [(True, 12.0)] * 2


def test_a_context_that_was_poisoned_in_collate_is_a_crash_of_the_item_that_poisoned_it(ready):
    engine = ready("collating.py:PoisonedInCollate", max_batch_size=4)
    outcomes = ask(engine, [0, 1, "poison", 3, 4, 5])
    assert [outcomes[n] for n in (0, 1, 3, 4, 5)] == [0, 1, 3, 4, 5]
    assert "could not go on after RuntimeError: CUDA error" in outcomes[2].message


def test_an_item_that_hangs_fails_alone_and_says_where(ready):
    engine = ready("failing.py:Failing", max_batch_size=2, call_timeout_s=2.0)
    outcomes = ask(engine, ["hang", 1, 2])
    assert outcomes[1:] == [1, 2]
    assert outcomes[0].exception == "stream_infer.engine.isolation.PredictorTimedOut"
    assert "hung for 2 s" in outcomes[0].message
    assert "in hang_here" in outcomes[0].stacktrace


def test_a_child_that_is_frozen_is_replaced(ready):
    engine = ready("failing.py:Failing", max_batch_size=2, heartbeat_timeout_s=3.0)
    outcomes = ask(engine, ["freeze", 1, 2])
    assert outcomes[1:] == [1, 2]
    assert "gave no sign of life for 3 s" in outcomes[0].message


def test_the_child_has_neither_kafka_nor_a_model_framework_of_its_own(ready):
    assert ask(ready("behaving.py:Modules"), ["orjson", "confluent_kafka", "stream_infer.kafka", "torch"]) == [
        True,
        False,
        False,
        False,
    ]


def test_heartbeats_keep_an_idle_child_alive(ready):
    engine = ready("behaving.py:Echo", heartbeat_timeout_s=3.0)
    pid = child_of(engine).pid
    assert engine.poll(5.0) == []
    assert (child_of(engine).pid, engine.readiness.state) == (pid, State.READY)


def test_a_crash_that_is_nobodys_fault_costs_no_item(ready, tmp_path):
    (tmp_path / "trap").touch()
    engine = ready("failing.py:CrashingOnce", {"trap": str(tmp_path / "trap")}, max_batch_size=4)
    assert ask(engine, list(range(12))) == list(range(12))


def test_a_micro_batch_in_which_the_child_is_killed_again_and_again_costs_no_item_and_gets_smaller(engine_of):
    """As the kernel does on a host without a limit for this container, or somebody with `kill -9`."""
    engine = engine_of("behaving.py:Sizes", {"pause": 0.2}, max_batch_size=8, pipeline_depth=1)
    engine.wait_ready(PATIENCE_S)
    engine.submit_many(as_tasks(range(8)))
    killed, answers = set(), []
    for _ in range(5):  # 8 items, 4, 2, one, and it alone; its second death alone would be the sixth
        while not (engine.readiness.state is State.READY and engine._dispatch.running() and begun(engine)):
            answers += engine.poll(0.01)
        child = child_of(engine)
        assert child.pid not in killed
        killed.add(child.pid)
        child.kill()
        answers += engine.poll(PATIENCE_S)  # until readiness changes
    outcomes = dict(answers) | collect(engine, 8 - len(answers))
    assert sorted(outcomes) == list(range(8))
    assert all(isinstance(outcome, Output) for outcome in outcomes.values()), outcomes
    assert len(killed) == 5
    assert engine.batch_cap < 8


def begun(engine):
    """The child is at the first call that it has: it has announced or marked it."""
    first = engine._dispatch._first()
    return first.begun or engine._keeper.host._arena.begun() == first.call.id


def test_an_idle_child_that_is_killed_comes_back(ready):
    engine = ready("behaving.py:Echo")
    child_of(engine).kill()
    assert ask(engine, [1, 2, 3]) == [1, 2, 3]


def test_the_end_of_a_child_is_noticed_though_its_own_children_live_on(ready):
    engine = ready("failing.py:WithGrandchild")
    (grandchild,) = ask(engine, [1])
    child_of(engine).kill()
    (another,) = ask(engine, [1])
    assert another != grandchild
    assert not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("target", "reason", "detail"),
    [
        ("unloadable.py:Raising", "its __init__ raised OSError: no such weights: model.bin", "in __init__"),
        ("unloadable.py:ColdOnly", "warmup() raised RuntimeError: the warm-up batch does not fit", "in warmup"),
        ("unloadable.py:Crashing", "was killed by SIGSEGV while loading", "loading the library"),
        ("unimportable.py:Never", "install 'a_module_that_nobody_has'", "import a_module_that_nobody_has"),
        ("unloadable.py:Absent", "has no 'Absent'", ""),
    ],
)
def test_a_predictor_that_does_not_come_up_says_why_and_promises_nothing(engine_of, target, reason, detail, caplog):
    engine = engine_of(target)
    with pytest.raises(PredictorUnavailable) as caught:
        engine.wait_ready(PATIENCE_S)
    assert reason in str(caught.value)
    assert detail in "".join(getattr(caught.value, "__notes__", []))
    assert engine.readiness.state is State.UNAVAILABLE
    assert reason in caplog.text
    assert "next start in" not in caplog.text


def test_a_predictor_that_loads_for_too_long_is_unavailable(engine_of):
    with pytest.raises(PredictorUnavailable, match=r"was not ready within 0\.8 s"):
        engine_of("unloadable.py:Slow", load_timeout_s=0.8).wait_ready(PATIENCE_S)


def test_nobody_waits_for_a_predictor_that_is_not_needed_any_more(engine_of):
    engine = engine_of("unloadable.py:Slow")
    began = time.monotonic()
    engine.wait_ready(PATIENCE_S, lambda: time.monotonic() > began + 0.2)

    assert time.monotonic() < began + 30
    assert engine.readiness.state is State.LOADING


def test_items_wait_for_a_predictor_that_comes_up_later(engine_of, tmp_path):
    obstacle = tmp_path / "obstacle"
    obstacle.write_text("in the way")
    engine = engine_of("unloadable.py:Fickle", {"obstacle": str(obstacle)})
    engine.submit_many(as_tasks([1, 2]))
    with pytest.raises(PredictorUnavailable):
        engine.wait_ready(PATIENCE_S)
    assert engine.in_flight == 2
    obstacle.write_text("")
    assert len(collect(engine, 2)) == 2


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("hang", "was not ready within 5 s"),
        ("segfault", "was killed by SIGSEGV while loading"),
        ("exit", "its __init__ raised SystemExit: 5"),
        ("leave", "exited with status 6 while loading"),
    ],
)
def test_a_predictor_that_loads_at_the_third_attempt_has_lost_no_item(engine_of, tmp_path, how, reason):
    config = {"counter": str(tmp_path / "counter"), "how": how}
    engine = engine_of("unloadable.py:ThirdTimeLucky", config, load_timeout_s=5.0 if how == "hang" else PATIENCE_S)
    engine.submit_many(as_tasks([1, 2]))
    seen, answers = [], []
    deadline = time.monotonic() + 2 * PATIENCE_S
    while len(answers) < 2 and time.monotonic() < deadline:
        seen.append(engine.readiness)
        answers += engine.poll(PATIENCE_S)  # returns when readiness changes
    states = [readiness.state for readiness in seen]
    assert [state for n, state in enumerate(states) if n == 0 or state != states[n - 1]] == [
        *[State.LOADING, State.UNAVAILABLE] * 2,
        State.LOADING,
        State.READY,
    ]
    assert reason in next(readiness.reason for readiness in seen if readiness.state is State.UNAVAILABLE)
    assert {token: outcome.value for token, outcome in answers} == {0: b"1", 1: b"2"}


def test_a_task_that_comes_as_a_suspect_runs_alone_and_is_rejected_when_it_kills_again(ready):
    engine = ready("failing.py:Failing", max_batch_size=8)
    first = child_of(engine).pid
    engine.submit_many(
        [Task(0, Payload(b"0")), Task(1, Payload(b'"abort"'), suspect=True), Task(2, Payload(b"2"), suspect=True)]
    )
    outcomes = collect(engine, 3)
    assert (outcomes[0], outcomes[2]) == (Output(b"0"), Output(b"2"))
    assert "was killed by SIGABRT" in outcomes[1].message
    assert "with this item alone in it; another had gone down with it before" in outcomes[1].message
    assert child_of(engine).pid != first


def test_withdrawn_tasks_get_no_answer(ready):
    engine = ready("behaving.py:Sizes", {"pause": 0.2}, max_batch_size=2, pipeline_depth=1)
    engine.submit_many(as_tasks(range(7)))
    assert [task.token for task in engine.withdraw({3, 6, 0})] == [3, 6]
    assert engine.in_flight == 5
    assert [task.token for task in engine.withdraw()] == [2, 4, 5]
    assert engine.in_flight_bytes == 2
    assert sorted(collect(engine, 2)) == [0, 1]


def test_what_is_disowned_while_it_hangs_is_let_finish_once_and_never_run_again(ready):
    engine = ready("failing.py:Failing", max_batch_size=3, call_timeout_s=1.0, pipeline_depth=1)
    engine.submit_many(as_tasks(["hang", 1, 2, 3, 4]))
    engine.disown({0, 1, 3})
    first = child_of(engine)
    assert sorted(collect(engine, 2)) == [2, 4]
    assert (engine.in_flight, engine.in_flight_bytes, first.is_running()) == (0, 0, False)


def test_a_restart_blames_nobody(ready, tmp_path):
    engine = ready("behaving.py:Sizes", {"pause": 0.2}, max_batch_size=2)
    first = child_of(engine)
    engine.submit_many(as_tasks(range(6)))
    engine.restart("to see whether it warms up")
    assert (engine.readiness.state, engine.readiness.reason) == (State.LOADING, "to see whether it warms up")
    assert not first.is_running()
    assert [outcome.value for outcome in collect(engine, 6).values()] == [b"2"] * 6
    assert engine.readiness.state is State.READY


def test_a_restart_that_comes_to_nothing_is_unavailable_and_goes_on(ready, tmp_path):
    obstacle = tmp_path / "obstacle"
    obstacle.write_text("")
    engine = ready("unloadable.py:Fickle", {"obstacle": str(obstacle)})
    obstacle.write_text("in the way")
    engine.restart("a probe")
    engine.submit_many(as_tasks([1]))
    assert engine.poll(PATIENCE_S) == []
    assert (engine.readiness.state, "an obstacle" in engine.readiness.reason) == (State.UNAVAILABLE, True)
    obstacle.write_text("")
    engine.restart("another probe")
    assert engine.readiness.state is State.LOADING
    assert len(collect(engine, 1)) == 1


def test_the_journal_knows_what_is_in_the_child(engine_of):
    class Journal:
        def __init__(self):
            self.lines, self.open = [], set()

        def begun(self, call_id, tokens, *, alone):
            self.lines.append((tuple(tokens), alone))
            self.open.add(call_id)

        def ended(self, call_id):
            self.open.remove(call_id)

    journal = Journal()
    engine = engine_of("failing.py:Failing", journal=journal, max_batch_size=2)
    engine.submit_many(as_tasks([0, "abort", 2]))
    collect(engine, 3)
    assert journal.lines[0] == ((0, 1), False)
    assert {((0,), True), ((1,), True), ((2,), False)} <= set(journal.lines)
    assert not journal.open
    engine.submit(Task(3, Payload(b'"hang"')))
    engine.poll(0.0)
    assert len(journal.open) == 1
    engine.close(0.1)
    assert not journal.open


def test_the_hook_runs_after_everything_before_it(ready, lines):
    engine = ready("behaving.py:Hooked", max_batch_size=4)
    engine.submit_many(as_tasks(range(10)))
    engine.complete_job(100, "job-1", {"a": 1})
    engine.complete_job(101, "job-2", {"fail": True})
    outcomes = collect(engine, 12)
    assert outcomes[100] == Output(None)
    assert (outcomes[101].exception, outcomes[101].message) == ("ValueError", "the hook fails")
    engine.close(5.0)  # what it printed comes by a way of its own, and may come last
    assert "job job-1 is complete after 10 items with {'a': 1}" in lines


def test_a_predictor_without_the_hook_needs_none(ready):
    engine = ready("behaving.py:Echo")
    engine.complete_job(1, "job", {})
    assert collect(engine, 1) == {1: Output(None)}


def test_a_hook_that_crashes_fails_like_an_item(ready):
    engine = ready("failing.py:Failing")
    engine.complete_job(1, "job", {"do": "exit"})
    engine.submit(Task(2, Payload(b"2")))
    outcomes = collect(engine, 2)
    assert isinstance(outcomes[1], Failure)
    assert outcomes[2] == Output(b"2")


def test_poll_can_be_woken_from_another_thread(ready):
    engine = ready("behaving.py:Echo")
    timer = threading.Timer(0.1, engine.wake)
    timer.start()
    started = time.monotonic()
    assert engine.poll(PATIENCE_S) == []
    assert time.monotonic() - started < PATIENCE_S / 2
    timer.join()


def test_close_leaves_no_process(ready):
    engine = ready("failing.py:Failing")
    child = child_of(engine)
    engine.submit(Task(1, Payload(b'"hang"')))
    engine.poll(0.1)
    engine.close(0.1)
    assert not child.is_running()
    assert engine.readiness.state is State.CLOSED


PARENT = """
import sys
from stream_infer.engine.engine import Engine
from stream_infer.engine.policy import EnginePolicy
from stream_infer.predictors.spec import PredictorSpec
engine = Engine(PredictorSpec("native", sys.argv[1]), EnginePolicy())
engine.start()
engine.wait_ready(30)
assert not {"torch", "confluent_kafka"} & set(sys.modules)
print(engine._keeper.host.pid, flush=True)
engine.poll(60)
"""


def test_the_child_dies_with_its_parent():
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, f"{PREDICTORS}/behaving.py:Echo"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with parent:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        psutil.wait_procs([child], timeout=PATIENCE_S)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
