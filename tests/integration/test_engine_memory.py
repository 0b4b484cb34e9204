"""Memory that runs out: on a device, within a process's own limit, and in the container around it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import orjson
import psutil
import pytest

from stream_infer.engine.engine import Engine
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import Task
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.records import Output, Payload

PREDICTORS = Path(__file__).parents[1] / "predictors"
PATIENCE_S = 60.0
MIB = 1 << 20


@pytest.fixture
def engine_of():
    made = []

    def make(target, config, clock=time.monotonic, **policy):
        policy = EnginePolicy(**{"restart_delay_s": 0.05, "max_wait_s": 60.0, **policy})
        spec = PredictorSpec("native", f"exhausting.py:{target}", config, directory=str(PREDICTORS))
        engine = Engine(spec, policy, clock=clock)
        made.append(engine)
        engine.start()
        engine.wait_ready(PATIENCE_S)
        return engine

    yield make
    for engine in made:
        engine.close(1.0)


def ask(engine, values):
    """Outputs as Python values, failures as they are, in the order of the values."""
    engine.submit_many([Task(token, Payload(orjson.dumps(value))) for token, value in enumerate(values)])
    outcomes = {}
    deadline = time.monotonic() + PATIENCE_S
    while len(outcomes) < len(values):
        outcomes.update(engine.poll(1.0))
        assert time.monotonic() < deadline, (outcomes, engine.readiness)
    ordered = [outcomes[token] for token in range(len(values))]
    return [orjson.loads(outcome.value) if isinstance(outcome, Output) else outcome for outcome in ordered]


def test_a_device_that_is_full_halves_micro_batches_for_a_while_and_rejects_only_what_fits_in_none(engine_of):
    pytest.importorskip("torch", reason="the predictor raises torch.cuda.OutOfMemoryError")
    ahead = 0.0
    engine = engine_of("OnDevice", {"most": 4}, lambda: time.monotonic() + ahead, max_batch_size=16)
    pid = engine._keeper.host.pid
    # The second 8 are in the process already when the first turn out to be too many.
    assert max(ask(engine, [1] * 16), key=len) == [16, 8, 8, 4, 4, 4, 4]
    assert engine.batch_cap == 4
    *fit, large = ask(engine, [1, 1, 1, 5])
    assert not any(isinstance(each, type(large)) for each in fit)
    assert (large.stage, large.exception, large.final) == ("predict", "torch.OutOfMemoryError", True)
    assert "this item (1 bytes) does not fit into memory, though it was alone: CUDA out of memory" in large.message
    assert "in predict" in large.stacktrace
    ahead = 61.0 * 4
    assert engine.batch_cap == 16
    assert engine._keeper.host.pid == pid


def test_a_device_that_is_full_in_collate_halves_micro_batches_too(engine_of):
    pytest.importorskip("torch", reason="the predictor raises torch.cuda.OutOfMemoryError")
    engine = engine_of("OnDeviceInCollate", {"most": 4}, max_batch_size=16)
    pid = engine._keeper.host.pid
    *fit, large = ask(engine, [1] * 16 + [5])
    assert fit == [1] * 16
    assert (large.stage, large.exception, large.final) == ("predict", "torch.OutOfMemoryError", True)
    assert engine.batch_cap <= 4
    assert engine._keeper.host.pid == pid


@pytest.mark.parametrize("target", ["Limited", "InSmallPieces", "InPreprocess"])
def test_a_process_that_may_take_no_more_memory_does_with_less_at_a_time(engine_of, target):
    engine = engine_of(target, {"room": 256}, max_batch_size=8, preprocess_threads=1)
    pid = engine._keeper.host.pid
    *outcomes, large = ask(engine, [40] * 8 + [1, 1, 600])
    assert outcomes == [40] * 8 + [1, 1]
    assert (large.exception, large.final) == ("MemoryError", True)
    assert "this item (3 bytes) does not fit into memory, though it was alone: MemoryError" in large.message
    assert engine.batch_cap <= 4
    assert engine._keeper.host.pid == pid


def test_what_was_taken_when_memory_ran_out_goes_back_to_the_system(engine_of):
    engine = engine_of("Touching", {"room": 400}, max_batch_size=8)
    child = psutil.Process(engine._keeper.host.pid)
    assert ask(engine, [200]) == [200]
    assert child.memory_info().rss > 150 * MIB, "what a call has needed is kept for the next one"

    (large,) = ask(engine, [900])

    assert large.exception == "MemoryError"
    assert child.memory_info().rss < 100 * MIB


def test_an_item_that_comes_alone_and_is_too_large_makes_no_micro_batch_smaller(engine_of):
    engine = engine_of("Limited", {"room": 256}, max_batch_size=8)
    (large,) = ask(engine, [600])
    assert (large.exception, engine.batch_cap) == ("MemoryError", 8)


def test_an_item_that_the_process_cannot_even_receive_is_rejected_in_the_end(engine_of):
    engine = engine_of("Limited", {"room": 100}, max_batch_bytes=MIB)
    payload = Payload(orjson.dumps("x" * 150 * MIB))
    engine.submit_many([Task(0, Payload(b"1")), Task(1, payload), Task(2, Payload(b"2"))])
    outcomes = {}
    deadline = time.monotonic() + PATIENCE_S
    while len(outcomes) < 3 and time.monotonic() < deadline:
        outcomes.update(engine.poll(1.0))
    assert (outcomes[0], outcomes[2]) == (Output(b"1"), Output(b"2"))
    assert outcomes[1].exception == "stream_infer.engine.isolation.PredictorCrashed"
    assert "MemoryError" in outcomes[1].stacktrace


PARENT = """
import json, os, sys, time
import orjson
from stream_infer.engine.engine import Engine
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import Task
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.records import Output, Payload

with open(f"{sys.argv[1]}/cgroup.procs", "w") as file:
    file.write(str(os.getpid()))
spec = PredictorSpec("native", f"{sys.argv[2]}/exhausting.py:ToTheBrim", json.loads(sys.argv[3]))
policy = EnginePolicy(max_batch_size=4, restart_delay_s=0.2, memory_fraction=float(sys.argv[6]))
engine = Engine(spec, policy, on_line=lambda line: None)
engine.start()
values = json.loads(sys.argv[4])
engine.submit_many([Task(token, Payload(orjson.dumps(value))) for token, value in enumerate(values)])
outcomes, reasons = {}, set()
deadline = time.monotonic() + 50
while len(outcomes) < len(values) and engine.readiness.state != sys.argv[5] and time.monotonic() < deadline:
    outcomes.update(engine.poll(1.0))
    reasons.add(engine.readiness.reason)
told = {
    token: outcome.value.decode() if isinstance(outcome, Output) else [outcome.exception, outcome.message]
    for token, outcome in outcomes.items()
}
print(json.dumps({"outcomes": told, "reasons": sorted(reasons), "cap": engine.batch_cap}))
engine.close(1.0)
"""


@pytest.fixture
def in_container():
    """Runs PARENT in a memory cgroup of its own; gives what it printed, and how many processes the kernel killed."""
    group = Path("/sys/fs/cgroup/memory") / f"stream-infer-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(256 * MIB))
    except OSError as error:
        # Also in CI: only a privileged runner with cgroup v1 can have one; the reading of v2 has its unit tests.
        pytest.skip(f"no cgroup can be made to run out of memory in ({error})")

    def run(config, values, until="answered", fraction=0.9):
        command = [sys.executable, "-c", PARENT, group, PREDICTORS, json.dumps(config), json.dumps(values)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [*command, until, str(fraction)], capture_output=True, env=environment, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        control = dict(line.split() for line in (group / "memory.oom_control").read_text().splitlines())
        return json.loads(done.stdout), int(control["oom_kill"])

    yield run
    group.rmdir()


def test_the_child_is_ended_before_its_container_is_full_and_only_what_does_not_fit_is_rejected(in_container):
    told, killed = in_container({}, [1, 1, 1000, 1, 1, 1, 1, 1])
    outcomes = told["outcomes"]
    exception, message = outcomes.pop("2")
    assert outcomes == {str(token): "1" for token in (0, 1, 3, 4, 5, 6, 7)}
    assert exception == "stream_infer.engine.isolation.OutOfMemory"
    assert "this item (4 bytes) does not fit into memory, though it was alone" in message
    assert "had filled the container's memory (0.2" in message
    assert "of 0.25 GiB)" in message
    assert told["cap"] == 2
    assert killed == 0


@pytest.mark.skipif(sys.platform != "linux", reason="a score of the Linux kernel's")
def test_the_kernel_would_take_the_child_before_its_parent(engine_of):
    engine = engine_of("ToTheBrim", {})
    parent, child = (
        int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (os.getpid(), engine._keeper.host.pid)
    )
    assert child == min(1000, parent + 200)


def test_micro_batches_that_fill_the_container_are_halved(in_container):
    told, _ = in_container({}, [70, 70, 70, 70])
    assert told["outcomes"] == {str(token): "70" for token in range(4)}


def test_where_nobody_looks_at_the_memory_the_kernel_kills_and_micro_batches_are_halved_all_the_same(in_container):
    told, killed = in_container({}, [70, 70, 70, 70], fraction=100.0)
    assert told["outcomes"] == {str(token): "70" for token in range(4)}
    assert (told["cap"], killed) == (2, 1)


def test_an_item_for_which_the_kernel_kills_three_times_though_it_is_alone_is_rejected(in_container):
    told, killed = in_container({}, [1, 1, 400, 1], fraction=100.0)
    exception, message = told["outcomes"].pop("2")
    assert told["outcomes"] == {"0": "1", "1": "1", "3": "1"}
    assert exception == "stream_infer.engine.isolation.PredictorCrashed"
    assert "was killed by SIGKILL (often the kernel, short of memory) with this item alone in it, 3 times" in message
    assert (told["cap"], killed) == (2, 6)  # in company of 4, of 2, as the only one of its micro-batch, then alone


def test_a_predictor_that_fills_its_container_while_loading_is_unavailable(in_container):
    told, _ = in_container({"base": 250}, [1], until="unavailable")
    assert told["outcomes"] == {}
    assert any("had filled the container's memory" in reason for reason in told["reasons"]), told["reasons"]
