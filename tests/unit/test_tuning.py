"""A predictor is tried with its own example."""

import time

import pytest

from stream_infer.engine.tuning import TuningLimits, tune
from stream_infer.errors import PredictorUnavailable

LIMITS = TuningLimits(most=64, longest_s=5.0, budget_s=30.0)


class Model:
    def __init__(self, fits=1000):
        self.calls = []
        self.fits = fits

    def example(self):
        return b"example"

    def preprocess(self, item):
        return item.decode()

    def predict(self, items):
        if len(items) > self.fits:
            raise MemoryError
        self.calls.append(items)
        return iter(items)


def tried(model, on_try=lambda size: None):
    return tune(model, LIMITS, on_try)


def test_it_is_called_with_its_example_as_it_stands_after_preprocess():
    model = Model()

    knee = tried(model)

    assert {item for items in model.calls for item in items} == {"example"}
    assert {len(items) for items in model.calls} == {one.size for one in knee.measured}


def test_what_it_is_called_with_has_been_collated():
    class Collating(Model):
        def collate(self, items):
            return tuple(items)

    model = Collating()

    knee = tried(model)

    assert {type(items) for items in model.calls} == {tuple}
    assert {len(items) for items in model.calls} == {one.size for one in knee.measured}


def test_memory_that_runs_out_bounds_the_size():
    class Heavy(Model):
        def predict(self, items):
            return super().predict(items) if len(items) == 1 else super().predict(items[:1] * len(items))

    knee = tried(Heavy(fits=1))

    assert (knee.size, knee.why) == (1, "2 do not fit into memory")


def test_a_size_at_which_it_fails_bounds_the_size_too():
    class Fixed(Model):
        def predict(self, items):
            if len(items) > 4:
                raise ValueError("profile has 4")
            time.sleep(0.05)
            return items

    knee = tried(Fixed())

    assert (knee.size, knee.why) == (4, "8 make it fail with ValueError: profile has 4")


def test_each_size_is_told_before_it_is_tried():
    told = []

    class Telling(Model):
        def predict(self, items):
            assert told[-1] == len(items)
            return super().predict(items)

    assert told == [one.size for one in tried(Telling(), told.append).measured]


def test_outputs_that_are_computed_when_they_are_read_are_waited_for():
    class Late:
        def tolist(self):
            time.sleep(0.005)
            return [1]

    class Lazy(Model):
        def predict(self, items):
            return [Late() for _ in items]

    assert tried(Lazy()).measured[0].seconds >= 0.005


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda model: setattr(model, "fits", 0), "no memory for even one item"),
        (lambda model: setattr(model, "example", lambda: 7), "fails with the item of its own example"),
        (lambda model: setattr(model, "example", None), "no method example"),
    ],
)
def test_what_cannot_be_tried_says_why(spoil, words):
    model = Model()
    spoil(model)

    with pytest.raises(PredictorUnavailable, match=words):
        tried(model)
