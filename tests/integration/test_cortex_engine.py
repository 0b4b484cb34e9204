"""Cortex's batch predictors in a real child: an instance for each job, whatever else the jobs are doing."""

import itertools
import time
from pathlib import Path

import orjson
import pytest

from stream_infer.engine.engine import Engine
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import Scope, Task
from stream_infer.engine.wire import pack_job
from stream_infer.predictors.protocol import Job
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.records import Failure, Output, Payload

PROJECT = Path(__file__).parents[1] / "predictors" / "cortex"
PATIENCE_S = 30.0
# Longer than a child takes to be replaced, also where others have the machine.
AFTER_A_DEATH_S = 12.0
TOKENS = itertools.count(100)


@pytest.fixture
def lines():
    return []


@pytest.fixture
def engine_of(lines):
    made = []

    def make(instances=4, **policy):
        spec = PredictorSpec(
            "cortex", str(PROJECT / "stateful.py"), {"says": "API"}, directory=str(PROJECT),
            options={"kind": "batch", "instances": instances, "env": {}},
        )  # fmt: skip
        policy = EnginePolicy(**{"restart_delay_s": 0.05, "max_batch_size": 100, "max_wait_s": 0.05, **policy})
        engine = Engine(spec, policy, on_line=lines.append)
        made.append(engine)
        engine.start()
        engine.wait_ready(PATIENCE_S)
        return engine

    yield make
    for engine in made:
        engine.close(1.0)


def tasks(job, *values, size=2, first=0):
    packed = pack_job(job)
    return [
        Task(
            next(TOKENS),
            Payload(orjson.dumps(value)),
            Scope(job.id, number // size, size, packed),
            name=f"{job.id}-{number}",
        )
        for number, value in enumerate(values, first)
    ]


def collect(engine, given):
    """Outcomes in the order of the tasks."""
    found = {}
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < len(given):
        assert time.monotonic() < deadline, found
        for answer in engine.poll(0.5):
            assert answer.token not in found
            found[answer.token] = answer.outcome
    return [found[task.token] for task in given]


def values(outcomes):
    return [orjson.loads(outcome.value) for outcome in outcomes]


def test_a_job_has_batches_and_state_of_its_own_and_its_hook_at_the_end(engine_of, lines):
    engine = engine_of()
    one, other = Job("one", {"says": "job"}, batch_size=2), Job("other", {}, batch_size=2)
    given = [task for pair in zip(tasks(one, *range(5)), tasks(other, *range(5)), strict=True) for task in pair]

    engine.submit_many(given)
    outcomes = values(collect(engine, given))

    for at, job in enumerate(("one", "other")):
        mine = outcomes[at::2]
        assert [outcome[0] for outcome in mine] == [job] * 5
        assert sorted({(outcome[1], tuple(outcome[3])) for outcome in mine}) == [(2, (0, 1)), (4, (2, 3)), (5, (4,))]
        assert len({outcome[2] for outcome in mine}) == 3
    engine.submit(Task(1, Payload(pack_job(one)), hook="one"))
    assert collect(engine, [Task(1, Payload(b""))]) == [Output(None)]
    engine.close(5.0)
    assert "one is complete after 5 items, as job" in lines
    assert lines.count("made for one") == 1


def test_a_batch_that_is_run_again_after_a_crash_is_called_alike(engine_of):
    engine = engine_of()
    job = Job("one", {}, batch_size=2)
    before = tasks(job, "a", "b")
    engine.submit_many(before)
    names = {outcome[2] for outcome in values(collect(engine, before))}

    engine.restart("a test")
    engine.submit_many(before)

    assert {outcome[2] for outcome in values(collect(engine, before))} == names


def test_the_item_that_takes_the_process_down_is_found_and_the_jobs_go_on_with_new_instances(engine_of):
    engine = engine_of()
    given = [*tasks(Job("one", {}, batch_size=2), 1, "crash", 3, 4), *tasks(Job("other", {}, batch_size=2), 1, 2)]

    engine.submit_many(given)
    outcomes = collect(engine, given)

    assert isinstance(outcomes[1], Failure)
    assert "SIGABRT" in outcomes[1].message
    assert all(isinstance(outcome, Output) for outcome in (*outcomes[:1], *outcomes[2:]))


def test_a_bad_item_fails_alone(engine_of):
    engine = engine_of()
    given = tasks(Job("one", {}, batch_size=4), 1, "raise", 3, 4, size=4)

    engine.submit_many(given)
    outcomes = collect(engine, given)

    assert isinstance(outcomes[1], Failure)
    assert outcomes[1].message == "an item that is bad"
    assert not outcomes[1].of_job
    assert all(isinstance(outcome, Output) for outcome in (outcomes[0], outcomes[2], outcomes[3]))


def test_an_instance_may_take_longer_to_make_than_a_call_may_and_a_call_has_its_time_after_that(engine_of):
    engine = engine_of(call_timeout_s=2.0, load_timeout_s=30.0)
    given = tasks(Job("slow", {"takes": 4.0}, batch_size=2), 1, 2)

    engine.submit_many(given)

    assert [outcome[1] for outcome in values(collect(engine, given))] == [2, 2]


def test_a_job_whose_instance_cannot_be_made_fails_as_a_job_and_others_do_not(engine_of):
    engine = engine_of()
    bad = tasks(Job("bad", {"refuses": True}, batch_size=2), 1, 2, 3)
    good = tasks(Job("good", {}, batch_size=2), 1)

    engine.submit_many([*bad, *good])
    *refused, served = collect(engine, [*bad, *good])

    assert {(outcome.of_job, outcome.final, outcome.exception) for outcome in refused} == {(True, True, "ValueError")}
    assert "job bad cannot be served" in refused[0].message
    assert isinstance(served, Output)


@pytest.mark.parametrize(
    ("how", "said"), [("abort", "was killed by SIGABRT"), ("exit", "exited with status 3"), ("segfault", "SIGSEGV")]
)
def test_a_constructor_that_takes_the_process_down_fails_its_job_and_none_of_its_items(engine_of, lines, how, said):
    engine = engine_of()
    before = tasks(Job("good", {}, batch_size=2), 1)
    engine.submit_many(before)
    collect(engine, before)
    bad = tasks(Job("bad", {"dies": how}, batch_size=2), *range(8))
    good = tasks(Job("good", {}, batch_size=2), 1, 2)

    engine.submit_many([*bad, *good])
    *refused, one, two = collect(engine, [*bad, *good])

    [failure] = set(refused)
    assert (failure.of_job, failure.final) == (True, True)
    assert failure.exception.endswith(".PredictorCrashed")
    assert failure.message.startswith("job bad cannot be served: the predictor's process ")
    assert said in failure.message
    assert isinstance(one, Output) and isinstance(two, Output)
    assert lines.count("making one for bad") == 1, "one death, not one for each item"


def test_a_constructor_that_takes_the_process_down_is_tried_as_often_as_is_allowed(engine_of, lines):
    engine = engine_of(load_attempts=2, load_delays_s=(AFTER_A_DEATH_S,))
    bad = Job("bad", {"dies": "exit"}, batch_size=2)
    first = tasks(bad, 1, 2)
    engine.submit_many(first)
    [failure] = set(collect(engine, first))
    assert (failure.of_job, failure.retryable, failure.final) == (True, True, False)
    assert 0 < failure.retry_after <= AFTER_A_DEATH_S

    early = tasks(bad, 3)
    engine.submit_many(early)
    [refusal] = collect(engine, early)
    assert refusal.retryable
    time.sleep(refusal.retry_after)
    engine.submit_many(first)
    [failure] = set(collect(engine, first))

    assert (failure.of_job, failure.final) == (True, True)
    assert failure.message.endswith("exited with status 3 while it made its instance (2 times)")
    assert lines.count("making one for bad") == 2


@pytest.mark.parametrize("how", [{"refuses": True}, {"dies": "segfault"}], ids=["raises", "dies"])
def test_a_constructor_that_fails_once_serves_its_job_at_the_next_attempt(engine_of, tmp_path, how):
    engine = engine_of(load_attempts=3, load_delays_s=(AFTER_A_DEATH_S,))
    job = Job("late", {"once": str(tmp_path / "tried"), **how}, batch_size=2)
    given = tasks(job, 1, 2, 3)

    engine.submit_many(given)
    refused = collect(engine, given)
    assert {outcome.retryable for outcome in refused} == {True}
    time.sleep(min(outcome.retry_after for outcome in refused))
    engine.submit_many(given)

    assert [outcome[0] for outcome in values(collect(engine, given))] == ["late"] * 3


def test_a_constructor_that_hangs_fails_its_job_at_once_and_others_are_served(engine_of, lines):
    engine = engine_of(load_timeout_s=6.0, call_timeout_s=20.0, load_attempts=3)
    hanging = tasks(Job("hanging", {"takes": 3600}, batch_size=2), *range(6))
    good = tasks(Job("good", {}, batch_size=2), 1, 2)

    engine.submit_many([*hanging, *good])
    *refused, one, two = collect(engine, [*hanging, *good])

    [failure] = set(refused)
    assert (failure.of_job, failure.final) == (True, True)
    assert failure.exception.endswith(".PredictorTimedOut")
    assert failure.message == (
        "job hanging cannot be served: the predictor's process hung for 6 s, its deadline for loading, while it made "
        "its instance"
    )
    assert "stateful.py" in failure.stacktrace, "where it hung"
    assert isinstance(one, Output) and isinstance(two, Output)
    assert lines.count("making one for hanging") == 1


def test_a_constructor_that_keeps_the_gil_has_as_long_as_any_other(engine_of):
    engine = engine_of(heartbeat_timeout_s=1.0, load_timeout_s=20.0)
    given = tasks(Job("greedy", {"keeps_gil": 2.5}, batch_size=2), 1)

    engine.submit_many(given)

    assert isinstance(collect(engine, given)[0], Output)


def test_a_hook_whose_instance_cannot_be_made_fails_and_leaves_the_process_to_others(engine_of):
    engine = engine_of()
    for _ in range(2):
        token = next(TOKENS)
        hook = Task(token, Payload(pack_job(Job("gone", {"dies": "exit"}))), hook="gone")
        engine.submit(hook)
        [failure] = collect(engine, [hook])
        assert "while it made its instance" in failure.message
    given = tasks(Job("good", {}, batch_size=2), 1)
    engine.submit_many(given)
    assert isinstance(collect(engine, given)[0], Output)


def test_only_so_many_instances_are_kept_and_a_forgotten_one_makes_room(engine_of, lines):
    engine = engine_of(instances=1)
    for job_id in ("a", "b", "a"):
        given = tasks(Job(job_id, {}, batch_size=2), 1)
        engine.submit_many(given)
        collect(engine, given)
    engine.forget_job("a")
    given = tasks(Job("a", {}, batch_size=2), 1)
    engine.submit_many(given)

    assert [outcome[1] for outcome in values(collect(engine, given))] == [1]
    engine.close(5.0)
    assert [line for line in lines if line.startswith("made")] == ["made for a", "made for b"] + ["made for a"] * 2
    assert sum("takes the place of job" in line for line in lines) == 2
