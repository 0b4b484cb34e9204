"""What a worker tells of items that bear a trace, and that it asks nothing more of the others."""

import pytest

from stream_infer.alike import read_alike
from stream_infer.engine.observer import CallEnd, ChildEnd
from stream_infer.errors import Stage
from stream_infer.headers import item_headers
from stream_infer.records import Failure, Message, Output, Run
from stream_infer.worker.ledger import Ledger
from stream_infer.worker.observer import UNOBSERVED
from stream_infer.worker.traces import CallTraces, TransactionTraces
from tests.support.traces import SENT, SPAN, TRACE, kept_spans, traceparent
from tests.support.worker_bench import WorkerBench

PARTITION = ("p.a.items", 0)


class Told:
    """A journal and an observer that keep what they hear."""

    def __init__(self):
        self.heard = []

    def begun(self, call_id, tokens, *, alone):
        self.heard.append(("begun", call_id, list(tokens), alone))

    def ended(self, call_id):
        self.heard.append(("ended", call_id))

    def answered(self, items, seconds, prepare_s, model_s):
        self.heard.append(("answered", items, seconds, prepare_s, model_s))

    def failed(self, end):
        self.heard.append(end)

    def child_ended(self, how):
        self.heard.append(how)


@pytest.fixture
def told():
    with kept_spans() as spans:
        yield spans


@pytest.fixture
def ledger():
    ledger = Ledger()
    ledger.assign([PARTITION])
    return ledger


@pytest.fixture
def real():
    return Told()


@pytest.fixture
def calls(ledger, real):
    return CallTraces("a", "p.a.items", ledger, real, real, clock=lambda: 1000.0)


def admitted(ledger, *trace):
    """A stretch of items; its tokens. `trace` is each item's header, None: it has none."""
    headers = [
        item_headers(item_id=f"i{n}") + (() if one is None else (("traceparent", one.encode()),))
        for n, one in enumerate(trace)
    ]
    run = Run.of([Message(*PARTITION, n, b"k", b"1", said, 0) for n, said in enumerate(headers)])
    stretch = ledger.admit_alike(run, read_alike(run))
    return list(range(stretch.first, stretch.first + stretch.length))


def test_a_micro_batch_is_a_span_and_the_models_call_a_part_of_it(told, ledger, calls, real):
    tokens = admitted(ledger, SENT, SENT, SENT)
    calls.begun(7, tokens, alone=False)
    calls.answered(3, 0.5, 0.1, 0.3)
    calls.ended(7)

    predict, process = told()
    assert (process.name, process.kind, process.trace_id, process.parent) == (
        "process p.a.items",
        "consumer",
        TRACE,
        SPAN,
    )
    assert process.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "p.a.items",
        "messaging.batch.message_count": 3,
        "stream_infer.api": "a",
        "stream_infer.call.id": 7,
    }
    assert (predict.name, predict.parent, predict.seconds) == ("predict a", process.span_id, pytest.approx(0.3))
    assert real.heard == [("begun", 7, tokens, False), ("answered", 3, 0.5, 0.1, 0.3), ("ended", 7)]


def test_items_without_a_trace_make_no_span(told, ledger, calls):
    calls.begun(1, admitted(ledger, None, None), alone=False)
    calls.answered(2, 0.5, 0.1, 0.3)
    calls.ended(1)

    assert told() == []


def test_of_calls_that_are_in_the_child_together_each_has_its_own_end(told, ledger, calls):
    first, second, third = (admitted(ledger, traceparent(n)) for n in range(3))
    calls.begun(1, first, alone=False)
    calls.begun(2, second, alone=False)
    calls.failed(CallEnd.RAISED)
    calls.ended(1)
    calls.begun(3, third, alone=True)
    calls.answered(1, 0.5, 0.1, 0.3)
    calls.ended(2)
    calls.child_ended(ChildEnd.CRASHED)
    calls.failed(CallEnd.LOST)
    calls.ended(3)

    ends = [(span.trace_id[-1], span.error) for span in told() if span.name.startswith("process")]
    assert ends == [("1", "raised"), ("2", None), ("3", "lost")]


def test_a_call_that_waits_again_is_told_as_given_back(told, ledger, calls):
    calls.begun(1, admitted(ledger, SENT), alone=False)
    calls.ended(1)

    [span] = told()
    assert span.error == "given_back"


def test_a_transaction_is_told_with_how_its_items_ended(told):
    bad = Failure(Stage.PREDICT, "ValueError", "bad", final=True)
    observer = TransactionTraces("p.a.items", "p.a.worker", UNOBSERVED)
    bench = WorkerBench(lambda value: bad if value == b"bad" else Output(value), observer=observer)
    bench.feed(b"1", b"bad", b"2", headers=[("traceparent", SENT.encode()), ("tracestate", b"v=1")])
    bench.run()

    spans = told()
    assert {(span.name, span.trace_id, span.parent, span.kind) for span in spans} == {
        ("commit p.a.items", TRACE, SPAN, "client")
    }
    assert sum(span.attributes["stream_infer.items.succeeded"] for span in spans) == 2
    assert sum(span.attributes["stream_infer.items.rejected"] for span in spans) == 1
    carried = [dict(record.headers) for record in bench.producer.records]
    assert [(one["traceparent"], one["tracestate"]) for one in carried] == [(SENT.encode(), b"v=1")] * 3
