"""Collation, beside the model: what it is given, when it is announced, and what its failures are."""

import threading
import weakref

import orjson
import pytest

from stream_infer.engine.runner import Runner
from stream_infer.engine.wire import ToChild, ToParent, read_failure
from stream_infer.errors import Stage
from stream_infer.records import JSON

PATIENCE_S = 10.0


class Model:
    """Echoes; what is collated is a tuple."""

    def __init__(self):
        self.collated = []
        self.predicted = []

    def collate(self, items):
        self.collated.append(items)
        return tuple(items)

    def predict(self, batch):
        self.predicted.append(batch)
        return list(batch)


class Preprocessing(Model):
    def preprocess(self, item):
        if item is None:
            raise ValueError("nothing")
        return item * 10


class Told:
    """What was said to the parent."""

    def __init__(self):
        self.messages = []
        self._changed = threading.Condition()

    def __call__(self, message):
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    def wait_for(self, kind, call_id):
        with self._changed:
            assert self._changed.wait_for(lambda: (kind, call_id) in self.announced(), PATIENCE_S)

    def announced(self):
        return [message[:2] for message in self.messages]


@pytest.fixture
def told():
    return Told()


def call_of(call_id, *values, batch=None):
    return (ToChild.CALL, call_id, JSON, [orjson.dumps(value) for value in values], batch)


def run(model, told, *values):
    """The answer to one call."""
    Runner(model, 2, told).admit(call_of(1, *values))()
    return told.messages[-1]


def test_predict_gets_what_collate_makes_of_the_preprocessed_items_in_their_order(told):
    model = Preprocessing()

    answer = run(model, told, *range(20))

    assert model.collated == [[n * 10 for n in range(20)]]
    assert model.predicted == [tuple(n * 10 for n in range(20))]
    assert answer[:3] == (ToParent.DONE, 1, [str(n * 10).encode() for n in range(20)])
    assert told.announced() == [(ToParent.PREPARES, 1), (ToParent.BEGINS, 1), (ToParent.DONE, 1)]


def test_items_that_were_rejected_before_are_left_out(told):
    model = Preprocessing()

    _, _, values, _, rejected, *_ = run(model, told, 1, None, 3)

    assert model.collated == [[10, 30]]
    assert values == [b"10", None, b"30"]
    assert {index: read_failure(failure).stage for index, failure in rejected.items()} == {1: Stage.PREPROCESS}


def test_without_preprocess_the_items_are_those_of_the_payloads(told):
    model = Model()

    Runner(model, 1, told).admit((ToChild.CALL, 1, JSON, [b"1", b"{", b"3"], None))()

    _, _, values, _, rejected, *_ = told.messages[-1]
    assert model.collated == [[1, 3]]
    assert (values, read_failure(rejected[1]).stage) == ([b"1", None, b"3"], Stage.DECODE)


def test_nothing_is_collated_of_no_items(told):
    model = Preprocessing()

    _, _, values, *_ = run(model, told, None, None)

    assert (model.collated, model.predicted, values) == ([], [], [None, None])


def test_a_call_is_collated_while_the_model_works_on_the_one_before(told):
    class Overlapping(Model):
        next_is_collated = threading.Event()

        def collate(self, items):
            if items == [2]:
                self.next_is_collated.set()
            return super().collate(items)

        def predict(self, batch):
            assert self.next_is_collated.wait(PATIENCE_S)
            return super().predict(batch)

    model = Overlapping()
    runner = Runner(model, 1, told)
    first, second = runner.admit(call_of(1, 1)), runner.admit(call_of(2, 2))

    first()
    second()

    assert model.predicted == [(1,), (2,)]
    assert [message[2] for message in told.messages if message[0] == ToParent.DONE] == [[b"1"], [b"2"]]


def test_a_call_that_waits_for_its_turn_is_not_announced(told):
    class Slow(Model):
        may_go_on = threading.Event()

        def collate(self, items):
            assert self.may_go_on.wait(PATIENCE_S)
            return super().collate(items)

    model = Slow()
    runner = Runner(model, 1, told)
    rest = [runner.admit(call_of(1, 1)), runner.admit(call_of(2, 2))]

    told.wait_for(ToParent.PREPARES, 1)
    assert told.announced() == [(ToParent.PREPARES, 1)]
    model.may_go_on.set()
    for each in rest:
        each()

    assert told.announced().index((ToParent.PREPARES, 2)) > 0


def test_what_collate_raises_is_the_whole_calls_as_if_predict_had_raised_it(told):
    class Raising(Preprocessing):
        def collate(self, items):
            raise ValueError("shapes differ")

    kind, _, failure, rejected = run(Raising(), told, 1, None)

    failure = read_failure(failure)
    assert (kind, failure.stage, failure.message) == (ToParent.RAISED, Stage.PREDICT, "shapes differ")
    assert "in collate" in failure.stacktrace
    assert list(rejected) == [1]


@pytest.mark.parametrize("where", ["preprocess", "collate"])
def test_memory_that_runs_out_before_predict_is_no_items_fault(told, where):
    def exhaust(self, _):
        raise MemoryError

    model = type("Exhausted", (Preprocessing,), {where: exhaust})()

    kind, _, failure, rejected = run(model, told, 1, 2)

    assert (kind, read_failure(failure).exception, rejected) == (ToParent.EXHAUSTED, "MemoryError", {})


def test_a_miscount_counts_items_not_what_collate_made_of_them(told):
    class Whole(Preprocessing):
        def collate(self, items):
            return object()

        def predict(self, batch):
            return [1]

    kind, _, words, _ = run(Whole(), told, 1, 2)

    assert (kind, words) == (ToParent.MISCOUNTED, "1 output for 2 items")


def test_nothing_holds_the_batch_once_predict_has_answered(told):
    class Batch(list):
        pass

    class Holding(Model):
        def collate(self, items):
            batch = Batch(items)
            self.batch = weakref.ref(batch)
            return batch

        def predict(self, batch):
            return [1] * len(batch)

    model = Holding()
    rest = Runner(model, 1, told).admit(call_of(1, 1))

    rest()

    assert told.messages[-1][0] == ToParent.DONE
    assert model.batch() is None
