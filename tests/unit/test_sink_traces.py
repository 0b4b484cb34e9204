"""Which traces a flush is told in: those of what lay in its partition's buffers, and of nothing from before."""

import pytest

from stream_infer.jobs.manifest import Kind
from stream_infer.records import EndOfPartition, Message
from stream_infer.sink.flush import FlushPlan, Outlet
from stream_infer.sink.traces import FlushTraces
from tests.support.traces import kept_spans, traceparent

RESULTS = "p.a.results"


@pytest.fixture
def told():
    with kept_spans() as spans:
        yield spans


def record(partition, number):
    return Message(RESULTS, partition, 0, None, b"1", (("traceparent", traceparent(number).encode()),), 0)


def plan(partition):
    return FlushPlan(Outlet("a", Kind.RESULTS), (RESULTS, partition), 1, 0, (), None)


def test_a_flush_is_told_in_the_traces_of_its_own_partition_and_each_once(told):
    traces, owned = FlushTraces(), {(RESULTS, 0), (RESULTS, 1)}
    traces.saw([record(0, 1), record(1, 2), EndOfPartition(RESULTS, 0, 1)])
    for partition in (0, 1, 0):
        traces.begin(plan(partition), owned).end()

    assert [(span.name, span.trace_id[-1]) for span in told()] == [(f"flush {RESULTS}", "2"), (f"flush {RESULTS}", "3")]


def test_what_a_partition_held_that_went_and_came_back_is_another_sinks_to_tell(told):
    traces = FlushTraces()
    traces.saw([record(0, 1), record(1, 2)])
    traces.begin(plan(1), {(RESULTS, 1)}).end()
    traces.saw([record(0, 3)])
    traces.begin(plan(0), {(RESULTS, 0), (RESULTS, 1)}).end()

    assert [span.trace_id[-1] for span in told()] == ["3", "4"]
