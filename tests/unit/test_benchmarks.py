"""What the report and the guard make of what was measured, and what is left of who was."""

import sys
import time
from pathlib import Path

import pytest

from benchmarks import guard
from benchmarks.contest import Run
from benchmarks.contestants import HANDWRITTEN_JOB_TX, HANDWRITTEN_TX, JOB_WORKER, QUIX, WORKER
from benchmarks.null_model import NullResult
from benchmarks.observer import Observer
from benchmarks.processes import started
from benchmarks.realtime import DIRECT, OURS, Load, RealtimeResult
from benchmarks.report import Summary, ratio
from tests.support.processes import is_gone, survivors


def runs(*rates):
    return [Run(1000, rate, 1.0, 0) for rate in rates]


def test_a_ratio_is_ours_by_theirs_round_by_round():
    assert ratio([100.0, 400.0, 90.0], [50.0, 100.0, 100.0]) == 2.0
    assert ratio([], [1.0]) is None


def test_the_last_line_says_the_worst_size_of_items_with_a_job():
    small = {WORKER: runs(900.0), JOB_WORKER: runs(300.0), HANDWRITTEN_TX: runs(200.0), QUIX: runs(100.0)}
    large = {WORKER: runs(900.0), JOB_WORKER: runs(100.0), HANDWRITTEN_TX: runs(200.0)}
    summary = Summary()

    NullResult({100: small, 1000: large}).summarise(summary)

    assert (summary.vs_handwritten_tx, summary.vs_quix_eos) == (0.5, 3.0)
    assert summary.by_size[100] == {"vs_handwritten_tx": 1.5, "vs_quix_eos": 3.0}
    assert '"by_size":{"100":' in summary.line()


@pytest.mark.parametrize(
    ("plain", "of_job", "words"),
    [
        (runs(80.0), runs(60.0), None),
        (runs(79.0), runs(60.0), "the worker does 0.79 of hand-written, transactions"),
        (runs(80.0), runs(59.0), "the worker, job items does 0.59 of hand-written, job items"),
        ([], runs(80.0), "measured nothing"),
    ],
)
def test_the_guard_asks_for_a_part_of_each_loop_by_hand(plain, of_job, words):
    theirs = {HANDWRITTEN_TX: runs(100.0), HANDWRITTEN_JOB_TX: runs(100.0)}
    found = guard.verdict(NullResult({100: {WORKER: plain, JOB_WORKER: of_job, **theirs}}))

    assert (found is None) if words is None else (words in found)


def test_the_end_is_the_first_sample_beyond_the_last_result_of_the_slowest_partition():
    observer = Observer.__new__(Observer)
    observer._last = {0: 9, 1: 4}
    observer._history = [
        (1.0, {0: 0, 1: 0}),
        (2.0, {0: 10, 1: 4}),
        (3.0, {0: 10, 1: 4}),
        (4.0, {0: 11, 1: 5}),
        (5.0, {0: 12, 1: 9}),
    ]

    assert observer._end() == 4.0


def test_realtime_counts_the_better_way_to_set_a_peer_up_and_says_the_worst_case():
    def load(rate, p99):
        return Load(rate, p99 / 2, p99, p99, 0.5, 0)

    result = RealtimeResult()
    result.add("null", 0, DIRECT, load(1000.0, 0.1))
    for connections, ours in ((1, load(100.0, 0.5)), (64, load(900.0, 4.0))):
        result.add("null", connections, OURS, ours)
        result.add("null", connections, "mosec, micro-batches", load(50.0, 2.0))
        result.add("null", connections, "mosec, one at a time", load(80.0, 5.0))
    summary = Summary()
    result.summarise(summary)

    assert summary.realtime_overhead_p99_ms == 0.4
    assert summary.realtime == {
        "overhead_p99_ms_null": 0.4,
        "rate_vs_litserve": None,
        "p99_vs_litserve": None,
        "rate_vs_mosec": 1.25,
        "p99_vs_mosec": 0.5,
    }
    assert "null model, 64 connections" in result.text()


LEAVES_ITS_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], process_group=0)
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_contestant_that_ends_without_its_children_leaves_none(tmp_path: Path):
    log = tmp_path / "log"
    with started([sys.executable, "-c", LEAVES_ITS_CHILD], log) as process:
        while not log.read_text().endswith("\n"):
            assert process.is_running()
            time.sleep(0.01)
        child = int(log.read_text())
        assert not is_gone(child)

    assert survivors([child], within_s=60) == []
