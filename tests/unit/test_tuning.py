"""A predictor is tried with its own example."""

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


def test_it_is_called_with_its_example_as_it_stands_after_preprocess():
    model = Model()

    knee = tune(model, LIMITS)

    assert {item for items in model.calls for item in items} == {"example"}
    assert {len(items) for items in model.calls} == {one.size for one in knee.measured}


def test_what_it_is_called_with_has_been_collated():
    class Collating(Model):
        def collate(self, items):
            return tuple(items)

    model = Collating()

    knee = tune(model, LIMITS)

    assert {type(items) for items in model.calls} == {tuple}
    assert {len(items) for items in model.calls} == {one.size for one in knee.measured}


def test_memory_that_runs_out_bounds_the_size():
    class Heavy(Model):
        def predict(self, items):
            return super().predict(items) if len(items) == 1 else super().predict(items[:1] * len(items))

    knee = tune(Heavy(fits=1), LIMITS)

    assert (knee.size, knee.why) == (1, "2 do not fit into memory")


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
        tune(model, LIMITS)
