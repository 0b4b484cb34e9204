"""A native class that asks whose items it gets."""

from pathlib import Path

import pytest

from stream_infer.errors import PredictorUnavailable
from stream_infer.predictors.finding import full_name
from stream_infer.predictors.loader import load
from stream_infer.predictors.protocol import Batch, Job
from stream_infer.predictors.spec import PredictorSpec

PREDICTORS = Path(__file__).parents[1] / "predictors"


def native(target, **config):
    return PredictorSpec("native", target, config, directory=str(PREDICTORS), options={"job_scoped": True})


def test_predict_gets_the_items_job_with_its_config():
    predictor = load(native("behaving.py:Greeting", greeting="hi"))

    assert predictor.predict_batch(["Ann"], Batch("b", Job("j", {"greeting": "moin"}))) == ["moin Ann of 1"]
    assert predictor.predict_batch(["Ann"], Batch("b", None)) == ["hi Ann of 1"]
    assert predictor.predict(["Ann", "Bo"]) == ["hi Ann of 2", "hi Bo of 2"]


def test_it_is_called_by_its_own_name_and_has_what_its_class_has_and_no_more():
    predictor = load(native("behaving.py:Greeting"))

    assert full_name(predictor).endswith("behaving.Greeting")
    assert predictor.preprocess(1) == "1"
    assert not hasattr(predictor, "collate")
    assert predictor.holds(None)


def test_a_class_whose_predict_does_not_take_the_job_is_told_so():
    with pytest.raises(PredictorUnavailable, match=r"write def predict\(self, items, job\)"):
        load(native("behaving.py:Echo"))
